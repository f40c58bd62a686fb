"""The outside world in small: vendor sandboxes over real HTTP, a real Tryton, the demo company, fault switches.

Nothing in the sync imports this package; a connector cannot tell a sandbox from the vendor but by its base URL.
"""
