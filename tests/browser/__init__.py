"""Tests in a real browser. A package, so that what they share is started once and ended before other tests."""
