"""Assets, one module a group. A body calls one service and says what came of it."""
