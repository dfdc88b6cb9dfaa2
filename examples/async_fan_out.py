"""Ask for many answers at once, but never for more than three at a time.

The answers are recordings, so that this runs without a key. Leave out `use_cassette`, and the model is asked.
"""

import asyncio
from pathlib import Path

from llmrouter import AsyncRouter
from llmrouter.cassettes import use_cassette

ROUTES = {"routes": {"headline": {"model": "google/gemini-3.8-flash", "system": "Write a headline for the news."}}}
RECORDING = Path(__file__).parent / "cassettes" / "async_fan_out.yaml"
AT_ONCE = 3

NEWS = [
    "The library on Mill Street opens again on Monday. Its roof was repaired after the storm in January.",
    "Ferries to the island will run every hour in summer. The new timetable starts on the first of June.",
    "A barn owl has nested in the church tower. Visitors are asked to use the south door until July.",
    "The bakery has changed hands after forty years. The new owners say that the rye bread stays.",
    "Two hundred trees were planted along the canal. School classes will look after one each.",
    "The night bus gets a second stop at the hospital. Nurses had asked for it for a long time.",
]


async def main() -> None:
    room, asking, most = asyncio.Semaphore(AT_ONCE), 0, 0

    async with AsyncRouter(ROUTES) as router:

        async def headline(text: str) -> str:
            nonlocal asking, most
            async with room:
                asking, most = asking + 1, max(most, asking + 1)
                reply = await router.chat("headline", text)
                asking -= 1
            return reply.content

        headlines = await asyncio.gather(*(headline(text) for text in NEWS))

    print(*headlines, sep="\n")
    print(f"\n{len(NEWS)} answers, at most {most} at a time")


if __name__ == "__main__":
    with use_cassette(RECORDING):
        asyncio.run(main())
