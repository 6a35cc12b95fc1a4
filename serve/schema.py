"""Bodies that `body.read_model` reads, for the OpenAPI page; the framework describes only what it reads itself."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

JSON = "application/json"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def request_body(model: type[BaseModel], *kinds: str) -> dict[str, Any]:
    """What a route's `openapi_extra` needs for a body of one of these content types."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(value: Any) -> Any:
        """With what it refers to put in its place: references would point into a page that has no such part."""
        if isinstance(value, list):
            return [whole(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return whole(parts[value["$ref"].rpartition("/")[2]])
        return {key: whole(one) for key, one in value.items()}

    return {"requestBody": {"required": True, "content": {kind: {"schema": whole(schema)} for kind in kinds}}}
