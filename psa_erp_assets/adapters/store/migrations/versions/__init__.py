"""The revisions of the operational store, oldest first. A revision that has been released is never edited."""
