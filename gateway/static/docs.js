// The page of the API: Swagger UI, which signs you in by itself when a request from here logs you in.

const KEY_IN_EXAMPLES = "b1f0c7de-5a5b-4b1e-9d35-0c2f7a0f6a51"; // gateway/idempotency.py
const who = document.getElementById("who");

function signIn(tokens) {
  ui.preauthorizeApiKey("bearer", tokens.access_token);
  ui.preauthorizeApiKey("refresh_token", tokens.refresh_token);
  who.textContent = `${tokens.user.name} · ${tokens.user.roles.join(", ")}`;
}

function signOut() {
  ui.authActions.logout(["bearer", "refresh_token"]);
  who.textContent = "Not signed in";
}

// An Idempotency-Key that was left as it stood in the example would make every purchase the same one.
function beforeRequest(request) {
  if (request.headers?.["Idempotency-Key"] === KEY_IN_EXAMPLES) {
    request.headers["Idempotency-Key"] = crypto.randomUUID();
  }
  return request;
}

function afterResponse(response) {
  const path = new URL(response.url, location.href).pathname;
  if (response.ok && response.body?.access_token && response.body?.user) signIn(response.body);
  if (response.status === 204 && path === "/v1/auth/logout") signOut();
  return response;
}

const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  filter: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  defaultModelRendering: "example",
  validatorUrl: null,
  persistAuthorization: false,
  requestInterceptor: beforeRequest,
  responseInterceptor: afterResponse,
});
