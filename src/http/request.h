#ifndef HTTP_REQUEST_H
#define HTTP_REQUEST_H

/* What a request says, read from its own bytes: the target, the query, the headers that decide
 * something, and whether two readers could read its framing in two ways. Pure functions over
 * views; nothing here answers, allocates (but for a query's table) or looks at the connection.
 *
 * Called by the files of http/state.h; private to the room.
 *
 * Sources: RFC 3986 (targets), RFC 9110 and RFC 9112 (headers and framing), RFC 6454 (origins). */

#include "base/bytes.h"
#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct evkeyvalq;

/* A target as it came, taken apart. Views into the target. */
struct request_target {
    struct bytes authority; /* of an absolute form, which stands for the Host; data NULL: none */
    struct bytes path;      /* without the first '/', not decoded */
    struct bytes query;     /* without the '?', not decoded; empty when there is none */
};

/* False: the target is neither a path nor an absolute form of http or https ("*", an authority as
 * in "//a/b" or alone, a fragment), or has a space, a control byte or a byte above 0x7e.
 * *target_out untouched then. */
bool request_target_read(const char *uri, struct request_target *target_out);

/* Decode %xx once; with `plus`, '+' becomes a space. `to` has room for raw.size bytes and may be
 * where raw is. False: a '%' without two hex digits; what was written is then unspecified. */
bool request_decode(struct bytes raw, bool plus, uint8_t *to, size_t *size_out);

/* The parameters of a query, decoded. Open: it is embedded in the request. Their number is limited:
 * each is compared with the names that the route knows, and takes a place in the table. 256 are as
 * many keys and patterns as one stream may watch, the longest list that a query carries. */
#define REQUEST_PARAMETERS_MAX 256
struct request_parameter {
    struct bytes name;
    struct bytes value;
};
struct request_query {
    struct request_parameter *list;
    size_t count;
    size_t size; /* bytes of the one block behind list */
};

enum request_query_status {
    REQUEST_QUERY_OK,
    REQUEST_QUERY_INVALID,
    REQUEST_QUERY_MANY,
    REQUEST_QUERY_MEMORY
};

/* Read a query into `query`, which is all zero. Free with request_query_clear(). An empty one
 * takes no memory. INVALID: a bad percent form, or text that is not UTF-8 or has a NUL. MANY: more
 * than REQUEST_PARAMETERS_MAX, found before any is decoded. */
enum request_query_status request_query_read(struct bytes raw, struct mem *mem,
                                             struct request_query *query);
void request_query_clear(struct request_query *query, struct mem *mem);

/* A word for on (none, 1, true, yes) or off (0, false, no), in any case. False: another one. */
bool request_flag_read(struct bytes text, bool *on_out);

/* Whether a name stands in a list of words separated by single spaces. NULL is the empty list. */
bool request_words_have(const char *words, struct bytes name);

/* How the body of this request is delimited. */
struct request_framing {
    bool has_host_rule;  /* HTTP/1.1: exactly one Host */
    bool takes_no_body;  /* evhttp reads none for this method: announcing one is refused */
    bool has_old_syntax; /* before HTTP/1.1: no Transfer-Encoding */
};

/* NULL when the headers can be read in one way only; else what is wrong with them, a sentence for
 * the answer, after which the connection must be closed. */
const char *request_framing_fault(const struct evkeyvalq *headers, struct request_framing framing);

/* Whether a Host names us: an address, localhost, `own` (names of our host, each ended by a NUL and
 * all of them by another, or NULL), or one of the names, of which "*" is any. A port after it does
 * not matter, nor do case and a trailing dot. */
bool request_host_is_known(struct bytes host, const char *own, const char *const *names,
                           size_t names_count);

/* Whether an Origin is ours (http or https, then exactly the Host; data NULL: there is none) or one
 * of the allowed. */
bool request_origin_is_known(const char *origin, struct bytes host, const char *const *origins,
                             size_t origins_count);

/* The full names that a line of hosts(5) gives the host of this name: those that begin with it and
 * a dot. Adds them to `own` as above, as far as there is room. */
void request_own_names_add(char *own, size_t room, const char *name, const char *line);

/* Whether a Content-Type value is this type, its parameters and case aside. */
bool request_type_is(const char *value, struct bytes type);

/* How much a client wants a media type. */
struct request_quality {
    uint16_t thousandths; /* q; 0: not at all */
    uint8_t closeness;    /* of what names it: 0 nothing, 1 all types, 2 all of a kind, 3 itself */
};

/* Of one Accept value: the q of the range that names the type most closely (RFC 9110 12.5.1). A
 * range whose q is malformed does not count. */
struct request_quality request_quality_of(const char *value, const char *type);

/* Whether a Prefer value has this preference, case and parameters aside (RFC 7240). */
bool request_prefers(const char *value, const char *preference);

/* Whether an If-None-Match value has the entity tag of sixteen hex digits, weak or strong. */
bool request_etag_matches(const char *value, const char digits[16]);

#endif /* HTTP_REQUEST_H */
