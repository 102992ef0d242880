"""`python -m postman` writes the collection and its environment anew, after a change of the API or of a story."""

import json
import os
from pathlib import Path
from typing import Any

from gateway.app import create_app
from gateway.config import from_environment
from postman import collection

FOLDER = Path(__file__).parent
COLLECTION = FOLDER / "concert-tickets.postman_collection.json"
ENVIRONMENT = FOLDER / "here.postman_environment.json"


def text(value: Any) -> str:
    """As the files have it."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The OpenAPI document of this code. The addresses are of no server: none is asked."""
    os.environ.update(AMQP_URI="amqp://nowhere/", SESSION_REDIS_URL="redis://nowhere", JWT_SECRET_KEY="-" * 64)
    return dict(create_app(from_environment()).extensions["openapi"])


def main() -> None:
    COLLECTION.write_text(text(collection.build(document())))
    ENVIRONMENT.write_text(text(collection.environment()))


if __name__ == "__main__":
    main()
