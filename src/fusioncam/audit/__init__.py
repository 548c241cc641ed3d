"""Audit a network on a data set: where it looks for each class, and which decisions may rest on a shortcut."""

from __future__ import annotations

from fusioncam.audit.files import StoredAudit, read_audit
from fusioncam.audit.plan import AuditPlan
from fusioncam.audit.runner import AuditResult, audit

__all__ = ["AuditPlan", "AuditResult", "StoredAudit", "audit", "read_audit"]
