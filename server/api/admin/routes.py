"""All routes of the administration API."""

from __future__ import annotations

from fastapi import APIRouter

from server.api.admin.admin_keys import AdminKeys
from server.api.admin.administration import Administration
from server.api.admin.audit_logs import AuditLogs
from server.api.admin.guard import AdminGuard
from server.api.admin.keys import Keys
from server.api.admin.moderation import Moderation
from server.api.admin.projects import Projects
from server.api.admin.rate_limits import RateLimits
from server.api.admin.route import admin_route
from server.api.admin.service_accounts import ServiceAccounts
from server.api.admin.usage import Usage

FAMILIES = (Projects, Keys, ServiceAccounts, RateLimits, AdminKeys, AuditLogs, Usage, Moderation)


def admin_routes(administration: Administration) -> APIRouter:
    guard = AdminGuard(administration.store, administration.tag_key, administration.clock)
    router = APIRouter(
        prefix="/v1/organization",
        tags=["administration"],
        route_class=admin_route(guard, administration.settings),
        strict_content_type=False,
    )
    for family in FAMILIES:
        for endpoint in family(administration).endpoints():
            router.add_api_route(
                endpoint.path, endpoint.answer, methods=[endpoint.method], summary=endpoint.summary, response_model=None
            )
    return router
