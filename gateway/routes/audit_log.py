"""The audit log of security events."""

from typing import Any

from auth_svc.contract import AuditPage
from gateway import schemas
from gateway.access import signed_in
from gateway.blueprint import Blueprint
from gateway.services import services

blueprint = Blueprint("audit_log", __name__, url_prefix="/v1/audit-log", description=__doc__)


@blueprint.get("")
@blueprint.arguments(schemas.AuditArguments, location="query")
@blueprint.response(200, schemas.AuditPage)
@signed_in("admin")
def list_audit_entries(wanted: dict[str, Any]) -> AuditPage:
    """Who did what, from where and by which request: the newest first. Nothing of it is ever changed."""
    return services().auth.list_audit_entries(**wanted)
