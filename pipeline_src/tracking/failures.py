"""Why MLflow failed, in a few words, and what to do about it."""

import os
import re
import ssl
from dataclasses import dataclass
from http.client import RemoteDisconnected

# What MLflow says of a store that another version has made, and of a run that was deleted, also for good.
OTHER_SCHEMA = re.compile(r"out-of-date database schema \(found version (\w+), but expected (\w+)\)")
GONE = re.compile(r"Current state is deleted|Run with id=\S+ not found|Run '\S+' not found")
# What it says of an answer that no MLflow server gives, and a server of a request to a host name that it does not know.
FOREIGN = re.compile(r"API request to endpoint (?:\S+ failed with error code (\d+)|was successful but)")
UNKNOWN_HOST = "Invalid Host header"
NO_CERTIFICATES = "TLS CA certificate bundle"  # in what requests says of a file of certificates that is not there
UNAUTHORISED, FORBIDDEN, SERVER_ERROR = 401, 403, 500
SIGN_IN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True)
class Failure:
    """Why a request failed.

    Attributes:
        reason: in a few words; the same for every request that fails for this reason.
        advice: what to do, as the beginning of a sentence.
        is_silence: whether no answer came, which takes as long as the timeouts of the request.
        is_error: whether the server answered with an error of its own (500, 503 …), each time that MLflow asked.
    """

    reason: str
    advice: str
    is_silence: bool = False
    is_error: bool = False

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.is_silence or self.is_error


def failure(error: BaseException, uri: str, before: BaseException | None = None) -> Failure:
    """Return why a request failed.

    Args:
        error: what MLflow, SQLAlchemy or the operating system has raised.
        uri: the address of the store, without a password.
        before: an error that was handled meanwhile, which Python takes for the cause of the first.
    """
    causes = _causes(error, before)
    if erroneous := _server_error(causes):
        return Failure(f"the server answers with an error: {erroneous}", "look into its log", is_error=True)
    if _is_silence(causes):
        return _silence(causes, uri)
    return _refused(causes[0]) or _unusable(causes[0], uri)


def is_of_no_run(error: Exception) -> bool:
    """Return whether a store says that it has no such run, or has it no more."""
    return bool(GONE.search(str(error)))


def _silence(causes: list[BaseException], uri: str) -> Failure:
    certificate = next((cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if certificate:
        reason = f"its certificate is not trusted: {certificate.verify_message}"
        advice = (
            "set MLFLOW_TRACKING_SERVER_CERT_PATH to the file of the certificate, or of the authority that signed it, "
            "and use a host name that it is valid for"
        )
        return Failure(reason, advice, is_silence=True)
    last = next((inner for inner in causes[-1].args if isinstance(inner, OSError)), causes[-1])  # of urllib3's errors
    text = getattr(last, "strerror", None) or _first_line(last)
    if tls := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        advice = "correct MLFLOW_TRACKING_URI (http:// for a server without TLS) or MLFLOW_TRACKING_SERVER_CERT_PATH"
        return Failure(f"there is no TLS connection to the server: {tls.reason}", advice, is_silence=True)
    advice = "start the server, correct MLFLOW_TRACKING_URI"
    if isinstance(last, RemoteDisconnected) and uri.startswith("http://"):
        advice += " (https:// for a server with TLS)"
    return Failure(f"the server does not answer: {text}", advice, is_silence=True)


def _refused(error: BaseException) -> Failure | None:
    """Return the failure if a server has answered with a refusal, or is none of MLflow."""
    status, text = _status(error), str(error)
    if status == UNAUTHORISED and _signs_in():
        return Failure("the server does not accept this user name and password", f"correct {' or '.join(SIGN_IN)}")
    if status == UNAUTHORISED:
        return Failure("the server asks for a user name and a password", f"set {' and '.join(SIGN_IN)}")
    if status == FORBIDDEN and UNKNOWN_HOST in text:
        advice = "name it in --allowed-hosts where `mlflow server` is started"
        return Failure("the server does not accept its host name in MLFLOW_TRACKING_URI", advice)
    if status == FORBIDDEN:
        return Failure("the server does not permit it to this user", "ask its administrator for the permission")
    if found := FOREIGN.search(text):
        what = f"status {found[1]}" if found[1] else "no JSON"
        return Failure(f"what answers there is not MLflow: {what}", "correct MLFLOW_TRACKING_URI")
    return None


def _unusable(error: BaseException, uri: str) -> Failure:
    text = str(error)
    if found := OTHER_SCHEMA.search(text):
        return Failure(
            f"its tables are of another version of MLflow: {found[1]}, not {found[2]}",
            f"copy it, then run `mlflow db upgrade {uri}` with the newer MLflow of the two",
        )
    if GONE.search(text):
        return Failure("the run has been deleted", "repair it")
    if NO_CERTIFICATES in text:
        path = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH", "")
        return Failure(f"there is no file of certificates {path}", "correct MLFLOW_TRACKING_SERVER_CERT_PATH")
    if isinstance(error, ImportError):
        return Failure(_first_line(error), "install that driver")
    if isinstance(error, ValueError):
        return Failure(_first_line(error), "correct MLFLOW_TRACKING_URI")
    return Failure(_first_line(error), "repair it")


def _status(error: BaseException) -> int | None:
    """Return the status of a server's answer: of a request of MLflow, or of one for an artifact."""
    from mlflow.exceptions import MlflowException
    from requests import HTTPError

    if isinstance(error, HTTPError) and error.response is not None:
        return error.response.status_code
    return int(error.get_http_status_code()) if isinstance(error, MlflowException) else None


def _signs_in() -> bool:
    """Whether requests have a user's name and password, by MLflow's variables or its file."""
    from mlflow.utils.credentials import read_mlflow_creds

    return all(read_mlflow_creds())


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _causes(error: BaseException, before: BaseException | None) -> list[BaseException]:
    """Return an error, that which caused it, and so on to the first."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) and cause is not before:
        chain.append(cause)
    return chain


def _server_error(causes: list[BaseException]) -> str:
    """Return which error of its own the server has answered with, or nothing."""
    from requests.exceptions import HTTPError, RetryError

    for cause in causes:
        if isinstance(cause, HTTPError) and cause.response is not None and cause.response.status_code >= SERVER_ERROR:
            return f"{cause.response.status_code} {cause.response.reason}"  # to a request for an artifact
    return _first_line(causes[-1]) if any(isinstance(cause, RetryError) for cause in causes) else ""


def _is_silence(causes: list[BaseException]) -> bool:
    from requests import HTTPError, RequestException

    return any(isinstance(cause, RequestException) and not isinstance(cause, HTTPError) for cause in causes)
