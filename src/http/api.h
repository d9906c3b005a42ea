#ifndef HTTP_API_H
#define HTTP_API_H

/* What the handlers share: the context they work on, and how they write answers. Every api_*.c
 * holds the handlers of one collection; http/routes.c names them. Handlers read the store and
 * change it through node alone. Whatever could be large is done in steps (http/server.h).
 *
 * Called by the server, through the table of routes; by main for the context. */

#include "base/address.h"
#include "base/bytes.h"
#include "base/mem.h"
#include "http/server.h"
#include "node/node.h"
#include "store/table.h"
#include "store/vector.h"
#include "view/draft.h"
#include "view/json_writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct watch;

/* What the gossip socket counts: beside what node says, it shows what never came to it. */
struct api_socket {
    uint64_t kernel_drops; /* datagrams: no room in the kernel, or among those that wait */
    uint64_t send_errors;
    uint64_t send_blocked;         /* how often the socket was full */
    uint64_t receive_buffer_bytes; /* what the kernel gave */
};

/* What the shell says of its disk. */
enum api_disk_state { API_DISK_FINE, API_DISK_LOADING, API_DISK_FULL, API_DISK_FAILING };

struct api_disk {
    uint8_t state;         /* enum api_disk_state */
    bool is_damaged;       /* not all that was once kept was found at the start */
    const char *promise;   /* the setting `durability` */
    int error;             /* of FULL and FAILING, as the system numbers them */
    uint64_t loaded_bytes; /* of those to load */
    uint64_t to_load_bytes;
    uint64_t log_bytes;      /* that a start would read */
    uint64_t snapshot_bytes; /* of the last one */
    uint64_t written_bytes;  /* to logs, since the start */
    uint64_t groups;         /* in so many writes */
    uint64_t snapshots;
    uint64_t failures;
    uint64_t waiting_blocks; /* noted and not written */
    uint64_t commit_us;      /* the last group took */
    uint64_t commit_us_most;
};

/* Who makes backups, one at a time, and the one that is being made or was made last. */
enum api_backup_state { API_BACKUP_NONE, API_BACKUP_UNDER_WAY, API_BACKUP_MADE, API_BACKUP_FAILED };

struct api_backup {
    /* STATUS_INVALID: none are made here; STATUS_CONFLICT: one is under way. */
    enum status (*begin)(void *maker, struct fault *why);
    void (*cancel)(void *maker, const char *reason);
    void *maker;
    struct http_request *waiter; /* is woken once it has ended; NULL: nobody */
    const char *path;            /* of the data directory that it is */
    uint64_t bytes;              /* that a start from it reads */
    uint64_t keys;
    struct fault why; /* it failed */
    uint8_t state;    /* enum api_backup_state */
};

/* Aggregates that are being joined, in the order in which they came (api_aggregate.c). */
TAILQ_HEAD(api_line, aggregate);

/* A `keep` rule: an update of one key that matches, and whose name says not when it ends, goes to
 * the key of the same name that ends so long from then (api_expire.h). */
struct keep_rule {
    struct bytes pattern;
    uint64_t keep_s;
};

/* Borrowed; all of it outlives the server. Main fills it in. */
struct http_context {
    struct node
        *node; /* NULL while what was kept is loaded: then open routes alone are asked for */
    struct table *table;
    struct mem *mem;      /* charged with bodies, scratch vectors and watchers; http-max-memory */
    struct api_line line; /* of aggregates; TAILQ_INIT() */
    struct watch *watch;  /* http/watch.h */
    const struct keep_rule *keeps; /* the first that matches counts */
    size_t keeps_count;
    uint8_t secret[16]; /* keys the hashes of names in bodies; from the kernel */
    const char *version;
    struct address self; /* as peers are told */
    uint16_t http_port;  /* announced to peers; 0: none */
    uint64_t started_us; /* mono */
    const char *problem; /* NULL, or why the node is not ready that node cannot know: a sentence */
    struct api_socket (*socket)(void *shell); /* NULL: not shown */
    struct api_disk (*disk)(void *shell);     /* NULL: memory only */
    struct api_backup *backup;                /* NULL at the end, when it is gone */
    void *shell;
};

#define API_KEYS_LIMIT     100   /* keys of a page when nothing is said */
#define API_KEYS_LIMIT_MAX 10000 /* of a page at most */
#define API_RANGE_MAX      65536 /* values of a dense range */
#define API_AT_ONCE_BLOCKS 64    /* a vector this small is written at once, with its length */
#define API_PACKED_BLOCKS  16    /* the same in a listing, where the next one follows */

/* What an answer or a body is written as. */
enum api_form {
    API_EVENTS = 1 << 0, /* server-sent events */
    API_JSON = 1 << 1,
    API_LINES = 1 << 2, /* of JSON */
    API_PACKED = 1 << 3 /* msgpack */
};

/* -- answers (api_reply.c) ------------------------------------------------------------------- */

/* An answer on its way to a request. Open: on the stack of a handler or in the state of a step.
 * Never copied: the writer keeps its address. */
struct reply {
    struct output output; /* for what is no JSON */
    struct json_writer json;
    bool is_packed;
    uint8_t buffer[2048];
};

/* Write to what http_begin() or http_stream_begin() began: as JSON, or as msgpack too. */
struct json_writer *reply_begin(struct reply *reply, struct http_request *request);
void reply_begin_form(struct reply *reply, struct http_request *request, enum api_form form);

/* Hand over what is still in the buffer; at the end of each step. */
void reply_flush(struct reply *reply);

/* The end: of JSON a newline after the document, so that shells stay tidy. */
void reply_end(struct reply *reply);

/* The member that names a key, and where its name says when it ends, the one that shows it:
 * "key": "visits~2026-12-29", "expires": "2026-12-29T00:00Z". */
void reply_key(struct json_writer *json, struct bytes key);

/* What every answer about a key says first, that and its "size" and "digest": the beginning of an
 * object, or of a map with `others` pairs behind these. `digest` NULL: it has none (presence). */
void reply_facts(struct reply *reply, struct bytes key, uint64_t size, const uint64_t *digest,
                 unsigned others);

/* Begin the "vector" behind them, of so many elements, which reply_vector() puts; and end both. */
void reply_vector_begin(struct reply *reply, uint64_t elements);
void reply_vector_end(struct reply *reply);

/* The members or pairs of a vector from block `*number` on, as far as the step allows. False: the
 * step is over, *number is where to go on. `request` NULL: all of it. As msgpack the vector must be
 * one that does not change meanwhile. */
bool reply_vector(struct reply *reply, const struct vector *vector, uint64_t *number,
                  const struct http_request *request);

/* Answer an update with no more than a code, if Prefer would rather have that. False: it would
 * not. */
bool reply_minimal(struct http_request *request);

/* Refuse by what node or store said.
 *
 * key    of the update; decides between codes; may be empty
 * place  in the body, or how far it was applied; NULL: neither */
void reply_fault(struct http_request *request, struct bytes key, const struct fault *why,
                 const struct http_place *place);

/* Whether the disk takes updates. False: `why` says why not: STATUS_FULL where it has no space,
 * which still lets deletions pass, STATUS_SYSTEM where it fails. */
bool disk_takes(const struct http_context *context, bool is_deletion, struct fault *why);

/* -- parameters (api_reply.c) ---------------------------------------------------------------- */

/* A whole number min..max of the query, or what it was preset to when it is not there. False: it
 * is wrong, the request is refused. */
bool query_u64(struct http_request *request, const char *name, uint64_t min, uint64_t max,
               uint64_t *number);

/* The same for a duration of at most HTTP_WAIT_US_MAX, in microseconds. */
bool query_duration(struct http_request *request, const char *name, uint64_t *us);

/* Whether there are no parameters but these words (and pretty). False: refused, in a sentence that
 * names the `taker` of only these. */
bool query_only(struct http_request *request, const char *taker, const char *words);

/* -- forms and the media types that name them (api_reply.c) ----------------------------------- */

#define API_DOCUMENT_TYPES "application/json text/plain"
#define API_PACKED_TYPES   "application/msgpack application/vnd.msgpack application/x-msgpack"
#define API_LINES_TYPES    "application/x-ndjson application/ndjson application/jsonl"

/* The form that Accept asks for most, of a set of them; the first of the set where it asks for none
 * of them. *type_out is the type it named, a literal. */
enum api_form reply_form(const struct http_request *request, unsigned forms, const char **type_out);

/* The form of the body. A missing type, the one that curl -d sends and text/plain, which pages of
 * browsers send without asking first, are JSON. */
enum api_form body_form(const struct http_request *request);

/* Whether the key is of the reserved kind "n:". */
bool key_is_presence(struct bytes key);

/* -- presence keys: not wholly in the store (api_reply.c) ------------------------------------- */

#define API_PRESENCE_KEY_MAX (2 + ADDRESS_TEXT_MAX)

/* "n:" and the address. Returns the size. */
size_t presence_key_put(uint8_t to[API_PRESENCE_KEY_MAX], const struct address *address);

/* The vector with the stamp as element 0, a few elements at most. False: there is neither. */
bool reply_presence(const struct http_context *context, struct bytes key, struct vector *scratch);

/* -- handlers ------------------------------------------------------------------------------ */

http_handler api_key_get;     /* api_keys.c: one key, an aggregate or a search */
http_handler api_key_post;    /* api_update.c: the max-update of one key */
http_handler api_keys_get;    /* api_list.c: a page of keys */
http_handler api_keys_post;   /* api_bulk.c: many keys */
http_handler api_key_delete;  /* api_delete.c */
http_handler api_keys_delete; /* api_delete.c: all that match a pattern */
http_handler api_peers_get;   /* api_peers.c */
http_handler api_peers_post;  /* api_peers.c */
http_handler api_peer_get;    /* api_peers.c */
http_handler api_peer_delete; /* api_peers.c */
http_handler api_watch_get;   /* api_watch.c */
http_handler api_index_get;   /* api_node.c */
http_handler api_health_get;  /* api_node.c */
http_handler api_ready_get;   /* api_node.c */
http_handler api_stats_get;   /* api_node.c */
http_handler api_openapi_get; /* api_node.c */
http_handler api_backup_post; /* api_backup.c */

/* One key's vector, at once or in steps: as GET shows it, or as POST with an empty vector answers:
 * all of it is larger than nothing (api_keys.c). The digest is from before the first element was
 * read: what rises while the steps go on may be in the answer and not in its digest, so that a
 * client that goes by the digest reads once too often rather than misses something.
 *
 * HTTP_STEP_DONE: the answer is complete; HTTP_STEP_AGAIN: it goes on in steps. */
enum api_vector_form { API_VECTOR, API_VECTOR_LARGER };
enum http_step api_vector_answer(struct http_request *request, struct http_context *context,
                                 const struct entry *entry, enum api_vector_form form);

/* Other ways of api_key_get: for patterns (api_list.c, api_aggregate.c). */
http_handler api_search_get;
http_handler api_aggregate_get;

#endif /* HTTP_API_H */
