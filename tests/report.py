"""The report of a test that is not a GoogleTest program, in GoogleTest's form: env/count-cases counts all of
them alike.
"""

import os
from pathlib import Path
from xml.sax.saxutils import quoteattr


def write(group, name, skipped="", failure=""):
    """Writes where $GTEST_OUTPUT says (xml:PATH), if it does."""
    output = os.environ.get("GTEST_OUTPUT", "")
    if not output.startswith("xml:"):
        return
    path = Path(output[4:])
    path.parent.mkdir(parents=True, exist_ok=True)
    inner = (
        f"<skipped message={quoteattr(skipped)}/>"
        if skipped
        else f"<failure message={quoteattr(failure)}/>"
        if failure
        else ""
    )
    path.write_text(
        f'<?xml version="1.0"?>\n<testsuites><testsuite name={quoteattr(group)}>'
        f'<testcase classname={quoteattr(group)} name={quoteattr(name)} status="run" '
        f'result="{"skipped" if skipped else "completed"}">{inner}</testcase></testsuite></testsuites>\n',
        encoding="utf-8",
    )


def finish(group, name, skipped="", failure=""):
    """Prints how it ended and gives the exit code: 0 passed, 1 failed, 77 skipped."""
    write(group, name, skipped, failure)
    print(
        f"SKIPPED {name}: {skipped}"
        if skipped
        else f"FAILED {name}\n{failure}"
        if failure
        else f"passed {name}"
    )
    return 77 if skipped else 1 if failure else 0
