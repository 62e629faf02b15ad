"""Run a program that runs unittest's tests, and write down what becomes of them.

python -m cloop_suite_unittest PROGRAM.py [arguments]
python -m cloop_suite_unittest -m MODULE [arguments]
"""

import runpy
import sys
import unittest

from cloop_suite import report, settings


class RecordingResult(unittest.TextTestResult):
    """Tells the report of each test."""

    under_way = None

    def startTest(self, test):
        self.under_way = test
        report.start(test.id())
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        report.stop(test.id())
        self.under_way = None

    def addError(self, test, err):
        super().addError(test, err)
        self.add_problem(test, self.errors[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.add_problem(test, self.failures[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            report.add("failed", f"{subtest}\n{self._exc_info_to_string(err, test)}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        if not isinstance(test, unittest.TestCase):
            return
        # 3.12.1 does not start a test that is skipped as a whole.
        started = self.under_way is test
        if not started:
            report.start(test.id())
        report.add("skipped", reason)
        if not started:
            report.stop(test.id())

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        report.add("xfailed")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        report.add("xpassed")

    def add_problem(self, test, text):
        if isinstance(test, unittest.TestCase):
            report.add("failed", text)
        else:
            # setUpModule, tearDownClass and their like, which are no tests.
            report.start(test.id())
            report.add("failed", text)
            report.stop(test.id())


def pick_tests():
    """Have the tests that are not wanted do nothing."""
    run = unittest.TestCase.run

    def run_wanted(self, result=None):
        pattern = settings.left_out_by(self.id())
        if pattern is not None:
            report.write("left out", self.id(), pattern=pattern)
            return result
        return run(self, result) if settings.wants(self.id()) else result

    unittest.TestCase.run = run_wanted


def main():
    """Do what the command line says."""
    unittest.TextTestResult = unittest.TextTestRunner.resultclass = RecordingResult
    pick_tests()
    del sys.argv[0]
    try:
        if sys.argv[0] == "-m":
            del sys.argv[0]
            sys.path.insert(0, "")
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        report.end()


if __name__ == "__main__":
    main()
