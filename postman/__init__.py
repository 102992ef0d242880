"""The Postman collection: its stories are told here, all else comes from the OpenAPI document."""
