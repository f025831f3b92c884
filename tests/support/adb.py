"""Google's real adb server and our ADB daemon on loopback ports, as fixtures."""
