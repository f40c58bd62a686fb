"""The sandboxes' control panel, called from outside: stats, reset, fault switches."""

from typing import Any

import httpx

from psa_erp_assets.sandbox.faults import Kind


class SandboxControl:
    """A client of a running sandbox's `/_sandbox`. Raises httpx.HTTPStatusError for a refused call."""

    def __init__(self, base_url: str, control_key: str) -> None:
        self._client = httpx.Client(
            base_url=f"{base_url}/_sandbox",
            headers={"authorization": f"Bearer {control_key}"},
            timeout=30,
            trust_env=False,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def stats(self) -> dict[str, Any]:
        """Requests, statuses and faults of each vendor, and what became of the webhooks."""
        body: dict[str, Any] = self._client.get("/stats").raise_for_status().json()
        return body

    def reset(self) -> None:
        """Back to the company as it was built, with no fault on."""
        self._client.post("/reset").raise_for_status()

    def fault(self, vendor: str, kind: Kind, **options: Any) -> None:
        """Switch a fault on for a vendor; `options` are the fields of `faults.Fault`."""
        self._client.put(f"/faults/{vendor}", json={"kind": kind, **options}).raise_for_status()

    def remove(self, table: str, key: str) -> None:
        """Take a record away as if it had never been, which no vendor announces; `table` is one of the sandbox's."""
        self._client.delete(f"/records/{table}/{key}").raise_for_status()

    def clear(self, vendor: str) -> None:
        """Switch the vendor's fault off."""
        self._client.delete(f"/faults/{vendor}").raise_for_status()
