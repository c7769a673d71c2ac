"""One line a check, and the totals as the last line."""

import sys
import traceback

COUNTS = {"passed": 0, "failed": 0}


def check(name):
    """Runs the function that follows, at once."""

    def run(work):
        try:
            work()
            COUNTS["passed"] += 1
            print(f"ok    {name}", flush=True)
        except Exception:
            COUNTS["failed"] += 1
            print(f"FAIL  {name}", flush=True)
            traceback.print_exc(file=sys.stdout)

    return run


def finish():
    print(f"{COUNTS['passed']} passed, {COUNTS['failed']} failed", flush=True)
    sys.exit(COUNTS["failed"] > 0)
