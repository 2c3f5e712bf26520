"""Decides and validates with Cedar's own implementation in Rust, for oracle_test.go: JSON in, JSON out."""

import json
import sys

import cedarpy

asked = json.load(sys.stdin)
policies = cedarpy.PolicySet.from_str("\n".join(asked["policies"]))


def decide(one):
    request = {name: one[name] for name in ("principal", "action", "resource", "context")}
    result = cedarpy.is_authorized(request, policies, one["entities"])
    ids = [asked["ids"][int(name.removeprefix("policy"))] for name in result.diagnostics.reasons]
    return {"allow": result.allowed, "policies": sorted(ids), "errors": len(result.diagnostics.errors)}


def valid(text):
    try:
        return cedarpy.validate_policies(text, asked["schema"]).validation_passed
    except Exception:  # it does not parse
        return False


json.dump({"decisions": [decide(one) for one in asked["requests"] or []],
           "valid": [valid(text) for text in asked["validate"] or []]}, sys.stdout)
