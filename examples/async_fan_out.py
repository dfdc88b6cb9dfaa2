"""Ask for many answers at once, but never for more than three at a time."""

import asyncio
import time

from llmrouter import AsyncRouter

ROUTES = {"routes": {"headline": {"model": "python/async_fan_out:first_words"}}}
AT_ONCE = 3

NEWS = [
    "The library on Mill Street opens again on Monday. Its roof was repaired after the storm in January.",
    "Ferries to the island will run every hour in summer. The new timetable starts on the first of June.",
    "A barn owl has nested in the church tower. Visitors are asked to use the south door until July.",
    "The bakery has changed hands after forty years. The new owners say that the rye bread stays.",
    "Two hundred trees were planted along the canal. School classes will look after one each.",
    "The night bus gets a second stop at the hospital. Nurses had asked for it for a long time.",
]


async def first_words(messages, **_params):
    """Stand for a model: take a moment, then answer with the first sentence."""
    await asyncio.sleep(0.2)
    return messages[-1]["content"].partition(". ")[0]


async def main() -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async with AsyncRouter(ROUTES) as router:

        async def headline(text: str) -> str:
            async with room:
                reply = await router.chat("headline", text)
            return reply.content

        started = time.perf_counter()
        headlines = await asyncio.gather(*(headline(text) for text in NEWS))

    print(*headlines, sep="\n")
    print(f"\n{len(NEWS)} answers of 0.2 s each, {AT_ONCE} at a time: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
