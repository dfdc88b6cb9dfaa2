"""How a command ends: what its error is told as, and with which exit status."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final

import typer

from llmrouter import errors
from llmrouter.cli.output import ReaderGoneError, tell

FAILED: Final = 1  # the call, or what was asked of this machine, did not work
WRONG: Final = 2  # the file or the usage is wrong
INTERRUPTED: Final = 130

_WRONG: Final = (errors.ConfigError, errors.RouteNotFoundError, errors.InvalidRequestError)

# What to do about an error; the most special class that is named here counts.
_ADVICE: Final[Mapping[type[errors.LLMRouterError], str]] = MappingProxyType(
    {
        errors.AllTargetsFailedError: "`llmrouter explain ROUTE` shows what the chain would do, without any request",
        errors.DeadlineExceededError: "give the call more time: --deadline, or `deadline` of the route",
        errors.RequestTimeoutError: "give each attempt more time: --timeout, or `timeouts` of the route",
        errors.QuotaError: "the account has nothing left; top it up, or add a fallback on another provider",
        errors.RateLimitError: "wait a little, or add a fallback on another provider",
        errors.RouteNotFoundError: "`llmrouter routes` lists the routes, `llmrouter models` the models",
        errors.AuthenticationError: "set a valid key in the environment, or in a `.env` file beside the routes file",
        errors.PermissionDeniedError: "the key is valid but may not use this model; choose another key or model",
        errors.ModelNotFoundError: "`llmrouter models` lists models that are known",
        errors.ContextLengthError: "shorten the text, or give the route a `token_budget` that trims it",
        errors.APIConnectionError: "check the network, and the provider's `base_url`",
        errors.ServerError: "the provider has a problem of its own; try later, or add a fallback on another provider",
        errors.CacheMissError: "leave out `--cache only` to ask the model",
        errors.StreamInterruptedError: "the answer is not complete; with --no-stream it comes whole or from a fallback",
    }
)


@contextmanager
def reported(*, verbose: bool = False) -> Iterator[None]:
    """Run the body of a command: whatever ends it early becomes a message on stderr and an exit status."""
    try:
        yield
    except (KeyboardInterrupt, typer.Abort):
        raise typer.Exit(INTERRUPTED) from None
    except ReaderGoneError:  # as with every filter: the reader has what it wanted
        raise typer.Exit(0) from None
    except typer.Exit:
        raise
    except errors.LLMRouterError as error:
        raise typer.Exit(_told(error, verbose=verbose)) from None
    except OSError as error:
        tell(f"error: {_file_error(error)}")
        _trace(verbose=verbose)
        raise typer.Exit(FAILED) from None
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback without being asked for one
        # Its message is left out: nobody has checked what it may contain.
        hint = "" if verbose else "; run with --verbose and report it"
        tell(f"error: unexpected {type(error).__name__}{hint}")
        _trace(verbose=verbose)
        raise typer.Exit(FAILED) from None


def _told(error: errors.LLMRouterError, *, verbose: bool) -> int:
    if isinstance(error, errors.ConfigError):
        _tell_problems(error)
    else:
        tell(f"error: {error}")
        advice = next((_ADVICE[each] for each in type(error).__mro__ if each in _ADVICE), None)
        if advice is not None:
            tell(f"       {advice}")
    _trace(verbose=verbose)
    return WRONG if isinstance(error, _WRONG) else FAILED


def _tell_problems(error: errors.ConfigError) -> None:
    """Write one problem a line, each starting with its place, as compilers do and editors understand."""
    for problem in error.problems:
        tell(str(problem) if problem.file else f"error: {problem}")
    if len(error.problems) > 1:
        tell(f"{len(error.problems)} problems")


def _file_error(error: OSError) -> str:
    reason = (error.strerror or type(error).__name__).lower()
    return f"{error.filename}: {reason}" if error.filename else reason


def _trace(*, verbose: bool) -> None:
    if verbose:
        tell(traceback.format_exc().rstrip())
