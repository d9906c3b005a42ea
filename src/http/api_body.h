#ifndef HTTP_API_BODY_H
#define HTTP_API_BODY_H

/* A body that carries updates, whatever it is written in: JSON, lines of JSON, msgpack. It is read
 * piece by piece as it lies in memory, once (and freed as it is read) or twice. Called by
 * api_update.c and api_bulk.c. */

#include "http/api.h"
#include "view/json_reader.h"
#include "view/packed_reader.h"

enum body_kind {
    BODY_VECTOR, /* one update without a key */
    BODY_KEYS    /* an update a key; read twice */
};

/* Open: embedded in whoever reads, never copied; only api_body.c touches the fields, but for the
 * draft. */
struct body {
    struct draft *draft;    /* the update that was read: one of the two */
    struct draft drafts[2]; /* the second is for reading again */
    struct json_reader *json;
    struct packed_reader *packed;
    struct bytes piece; /* of the request's body */
    size_t taken;       /* of it */
    uint8_t kind;       /* enum body_kind */
    bool is_lines;
    bool is_busy;     /* the reader has work left */
    bool is_kept;     /* what was read is to be read again */
    bool is_held;     /* the other draft has an update */
    const char *hint; /* what to type, should the body be refused; NULL: nothing */
};

/* Begin to read into a body that is all zero. False: no memory; body_close() all the same. */
bool body_open(struct body *body, struct http_request *request, const struct http_context *context,
               enum body_kind kind);
void body_close(struct body *body);

/* Read on. READ_MORE and READ_BUSY: look at the clock and call again; READ_UPDATE: take it from the
 * draft, then call again; READ_DONE: that was all, and it was right. */
enum read_event body_next(struct body *body, struct http_request *request);

/* At the end of each step. */
void body_pause(struct body *body, struct http_request *request);

/* After READ_DONE of BODY_KEYS: from the front again, without looking for keys that stand twice.
 * False: no memory. */
bool body_again(struct body *body, struct http_request *request);

/* Then each update can be held until the next one is read, so that what its key is looked for in is
 * in cache by then: hold the one that was read (`has_read`: there is one), and get the one before
 * it, or NULL. Lent until the next read. */
struct draft *body_hold(struct body *body, bool has_read);

/* Whether a key may stand in it more than once. */
bool body_repeats_keys(const struct body *body);

/* Refuse the body for what the draft says. */
void body_refuse(struct body *body, struct http_request *request);

/* Where the update that was read last stands, for what node has against it. Lent until the next
 * read. */
struct http_place body_place(struct body *body);

#endif /* HTTP_API_BODY_H */
