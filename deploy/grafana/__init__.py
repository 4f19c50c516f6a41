"""Builds the dashboards in dashboards/: `python -m deploy.grafana`, from the root of the checkout."""
