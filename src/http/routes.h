#ifndef HTTP_ROUTES_H
#define HTTP_ROUTES_H

/* The table of endpoints: what may be asked, with which parameters, and whose handler answers. Used
 * by main, which gives it to the server. */

#include "http/server.h"

#include <stddef.h>

extern const struct http_route http_routes[];
extern const size_t http_routes_count;

#endif /* HTTP_ROUTES_H */
