"""Tests that pass, fail, are skipped, crash and hang: what the runner itself is tested with."""

import os
import time
import unittest


class Trouble(unittest.TestCase):
    def test_a_passes(self):
        self.assertTrue(os.getpid())

    def test_b_fails(self):
        self.fail("as it should")

    def test_c_is_skipped(self):
        self.skipTest("as it should")

    def test_d_fails_in_subtests(self):
        for number in range(2):
            with self.subTest(number=number):
                self.assertEqual(number, 2)

    def test_e_crashes(self):
        os.abort()

    def test_f_hangs(self):
        time.sleep(1000)

    def test_g_exits(self):
        os._exit(0)

    def test_h_passes(self):
        self.assertTrue(os.getpid())
