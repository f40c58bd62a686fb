"""HubSpot, the CRM: companies as customers, signed deals as contracts."""
