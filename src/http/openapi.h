#ifndef HTTP_OPENAPI_H
#define HTTP_OPENAPI_H

/* doc/openapi.json, compiled in: src/http/openapi.c is made from it by src/http/embed. Called by
 * api_node.c. */

#include <stddef.h>
#include <stdint.h>

extern const uint8_t openapi_json[];
extern const size_t openapi_json_size;

#endif /* HTTP_OPENAPI_H */
