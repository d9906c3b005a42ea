#ifndef HTTP_API_BODY_H
#define HTTP_API_BODY_H

/* A body that carries updates, whatever it is written in: JSON, lines of JSON, msgpack. Called by
 * api_update.c and api_bulk.c. */

#include "http/api.h"
#include "view/json_reader.h"
#include "view/packed_reader.h"

/* Open: embedded in whoever reads; only api_body.c touches the fields. */
struct body {
    struct draft draft;
    struct json_reader *json;
    struct packed_reader *packed;
    bool is_lines;
    const char *hint; /* what to type, should the body be refused; NULL: nothing */
};

enum body_form { BODY_VECTOR, BODY_KEYS };

/* Begin to read. False: no memory; nothing to close. */
bool body_open(struct body *body, struct http_request *request, const struct http_context *context,
               enum body_form form);
void body_close(struct body *body);

/* Refuse the body for what the draft says. */
void body_refuse(struct body *body, struct http_request *request);

/* As json_reader_read() and json_reader_end(). */
enum read_event body_read(struct body *body, struct bytes *rest);
enum read_event body_end(struct body *body);

/* Where the update that was read last stands, for what node has against it. Lent until the next
 * read. */
struct http_place body_place(struct body *body);

#endif /* HTTP_API_BODY_H */
