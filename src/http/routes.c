#include "http/routes.h"

#include "http/api.h"

#define DOCUMENT_TYPES API_DOCUMENT_TYPES " " API_PACKED_TYPES
#define LINES_TYPES    API_PACKED_TYPES " " API_LINES_TYPES
#define BULK_TYPES     API_DOCUMENT_TYPES " " LINES_TYPES

/* PUT and PATCH stand wherever POST is a max-update: it is idempotent, and curl -T sends PUT. */
#define UPDATE_METHODS (HTTP_POST | HTTP_PUT | HTTP_PATCH)

static const char delete_refusal[] =
    "a vector cannot be deleted: a maximum cannot be taken back, and a peer that holds it would "
    "bring it again; put the period into the key instead";

const struct http_route http_routes[] = {
    { .path = "", .methods = HTTP_GET, .access = HTTP_OPEN, .handler = api_index_get },
    { .path = "health", .methods = HTTP_GET, .access = HTTP_OPEN, .handler = api_health_get },
    { .path = "keys",
      .methods = HTTP_GET,
      .access = HTTP_READ,
      .query = "after limit match prefix vectors",
      .handler = api_keys_get },
    { .path = "keys",
      .methods = UPDATE_METHODS,
      .access = HTTP_WRITE,
      .body = HTTP_BODY_LINES,
      .types = BULK_TYPES,
      .lines = LINES_TYPES,
      .handler = api_keys_post },
    { .path = "keys",
      .takes_key = true,
      .methods = HTTP_GET,
      .access = HTTP_READ,
      .query = "after count from index limit wait",
      .repeated = "index",
      .handler = api_key_get },
    { .path = "keys",
      .takes_key = true,
      .methods = UPDATE_METHODS,
      .access = HTTP_WRITE,
      .body = HTTP_BODY_DOCUMENT,
      .query = "expire join",
      .repeated = "join",
      .types = DOCUMENT_TYPES,
      .handler = api_key_post },
    { .path = "keys",
      .takes_key = true,
      .methods = HTTP_DELETE,
      .access = HTTP_WRITE,
      .refusal = delete_refusal },
    { .path = "openapi.json",
      .methods = HTTP_GET,
      .access = HTTP_READ,
      .handler = api_openapi_get },
    { .path = "peers",
      .methods = HTTP_GET,
      .access = HTTP_READ,
      .query = "format state",
      .handler = api_peers_get },
    { .path = "peers",
      .methods = HTTP_POST,
      .access = HTTP_WRITE,
      .body = HTTP_BODY_DOCUMENT,
      .types = API_DOCUMENT_TYPES,
      .handler = api_peers_post },
    { .path = "peers",
      .takes_key = true,
      .methods = HTTP_GET,
      .access = HTTP_READ,
      .handler = api_peer_get },
    { .path = "peers",
      .takes_key = true,
      .methods = HTTP_DELETE,
      .access = HTTP_WRITE,
      .handler = api_peer_delete },
    { .path = "ready", .methods = HTTP_GET, .access = HTTP_OPEN, .handler = api_ready_get },
    { .path = "stats", .methods = HTTP_GET, .access = HTTP_READ, .handler = api_stats_get },
    { .path = "watch",
      .methods = HTTP_GET,
      .access = HTTP_READ,
      .query = "every include key match",
      .repeated = "key match",
      .handler = api_watch_get },
};

const size_t http_routes_count = sizeof http_routes / sizeof http_routes[0];
