/* GET /watch: changes as they happen, as server-sent events or as lines of JSON. */

#include "base/text.h"
#include "http/api.h"
#include "http/watch.h"
#include "store/pattern.h"

#include <string.h>

#define HEARTBEAT_US UINT64_C(15000000)
#define RETRY_MS     2000 /* what browsers wait before they connect again */

enum include { INCLUDE_DELTA, INCLUDE_NONE, INCLUDE_VECTOR };

struct watching {
    struct mem *mem;
    struct watcher *watcher;
    uint8_t include; /* enum include */
    bool is_lines;   /* JSON a line, no server-sent events */
    const char *type;
    bool is_in_event;
    uint64_t every_us;
    uint64_t flushed_us; /* when events were last written */
    uint64_t spoken_us;  /* when anything was */
    uint64_t events;
    uint64_t number; /* of the vector under way: block to go on from */
    uint8_t key[HTTP_KEY_BYTES_MAX];
    size_t key_size;
    struct reply reply;
};

static void watching_free(void *state)
{
    struct watching *watching = (struct watching *)state;

    watcher_free(watching->watcher);
    mem_free(watching->mem, watching, sizeof *watching);
}

/* -- events -------------------------------------------------------------------------------- */

/* Up to the bracket of the event's document. */
static struct json_writer *event_begin(struct watching *watching, const char *name)
{
    struct json_writer *json = &watching->reply.json;

    watching->events++;
    json_restart(json);
    if (!watching->is_lines) {
        struct output *output = &watching->reply.output;
        char digits[TEXT_U64_MAX];

        output_put_text(output, "id: ");
        output_put(output, (struct bytes){ (const uint8_t *)digits,
                                           text_put_u64(digits, watching->events) });
        output_put_text(output, "\nevent: ");
        output_put_text(output, name);
        output_put_text(output, "\ndata: ");
    }
    json_begin_object(json);
    return json;
}

static void event_end(struct watching *watching)
{
    json_end_object(&watching->reply.json);
    output_put_text(&watching->reply.output, watching->is_lines ? "\n" : "\n\n");
    watching->is_in_event = false;
}

/* Lines have no name beside them: they say it inside. */
static void kind_put(const struct watching *watching, struct json_writer *json, const char *kind)
{
    if (watching->is_lines) {
        json_name(json, "event");
        json_text(json, kind);
    }
}

static void ready_put(struct watching *watching, const struct http_context *context)
{
    struct json_writer *json;

    if (!watching->is_lines) {
        char digits[TEXT_U64_MAX];

        output_put_text(&watching->reply.output, "retry: ");
        output_put(&watching->reply.output,
                   (struct bytes){ (const uint8_t *)digits, text_put_u64(digits, RETRY_MS) });
        output_put_text(&watching->reply.output, "\n");
    }
    json = event_begin(watching, "ready");
    kind_put(watching, json, "ready");
    json_name(json, "keys");
    json_u64(json, table_stats(context->table).keys[TABLE_DATA]);
    json_name(json, "digest");
    json_hex64(json, table_root(context->table, TABLE_DATA));
    event_end(watching);
}

static void overflow_put(struct watching *watching)
{
    struct json_writer *json = event_begin(watching, "overflow");

    kind_put(watching, json, "overflow");
    json_name(json, "detail");
    json_text(json, "more changes waited than watch-buffer allows; read again what you need and "
                    "connect again");
    event_end(watching);
}

static void marks_put(struct json_writer *json, const struct watch_event *event)
{
    const struct vector *vector = entry_vector(event->entry);
    const size_t count = vector_blocks(vector);
    struct block_room room;

    for (size_t i = 0; i < event->marks_count; i++) {
        const size_t position = vector_seek(vector, event->marks[i].number);

        if (position < count) {
            const struct block block = vector_block(vector, position, &room);

            if (block.number == event->marks[i].number) {
                json_elements(json, &block, &event->marks[i]);
            }
        }
    }
}

/* The rest of a vector and the end of its event. False: the step is over. */
static bool vector_put(struct http_request *request, struct http_context *context,
                       struct watching *watching)
{
    const struct entry *entry =
        table_find(context->table, (struct bytes){ watching->key, watching->key_size });

    if (entry != NULL
        && !reply_vector(&watching->reply, entry_vector(entry), &watching->number, request)) {
        return false;
    }
    json_end_object(&watching->reply.json);
    event_end(watching);
    return true;
}

/* One update. False: the step is over in the middle of it. */
static bool update_put(struct http_request *request, struct http_context *context,
                       struct watching *watching, const struct watch_event *event)
{
    struct json_writer *json = event_begin(watching, "update");
    const struct bytes key = entry_key(event->entry);
    const bool is_whole = event->is_whole || watching->include == INCLUDE_VECTOR;

    kind_put(watching, json, "update");
    reply_key(json, key);
    json_name(json, "digest");
    json_hex64(json, entry_digest(event->entry));
    if (watching->include == INCLUDE_NONE) {
        event_end(watching);
        return true;
    }
    json_name(json, watching->include == INCLUDE_VECTOR ? "vector" : "changed");
    json_begin_object(json);
    if (!is_whole) {
        marks_put(json, event);
        json_end_object(json);
        event_end(watching);
        return true;
    }
    watching->is_in_event = true;
    watching->number = 0;
    watching->key_size = key.size;
    memcpy(watching->key, key.data, key.size);
    return vector_put(request, context, watching);
}

/* That a key ended, or was deleted. */
static void end_put(struct watching *watching, const struct watch_event *event)
{
    const char *kind = event->is_deleted ? "deleted" : "expired";
    struct json_writer *json = event_begin(watching, kind);

    kind_put(watching, json, kind);
    reply_key(json, (struct bytes){ event->key, event->key_size });
    event_end(watching);
}

/* One event. False: the step is over in the middle of it. */
static bool event_put(struct http_request *request, struct http_context *context,
                      struct watching *watching, const struct watch_event *event)
{
    if (event->entry == NULL) {
        end_put(watching, event);
        return true;
    }
    return entry_ended(context->table, event->entry)
           || update_put(request, context, watching, event);
}

/* -- the stream ---------------------------------------------------------------------------- */

/* All that waits, as far as this step and the output go. False: there is more. */
static bool events_put(struct http_request *request, struct http_context *context,
                       struct watching *watching)
{
    struct watch_event event;

    if (watching->is_in_event && !vector_put(request, context, watching)) {
        return false;
    }
    while (!http_step_is_over(request)) {
        if (!watcher_take(watching->watcher, &event)) {
            return true;
        }
        if (!event_put(request, context, watching, &event)) {
            return false;
        }
    }
    return false;
}

static enum http_step sleep_until(struct http_request *request, uint64_t now_us, uint64_t due_us)
{
    http_timer(request, due_us > now_us ? due_us - now_us : 1);
    return HTTP_STEP_SLEEP;
}

static enum http_step watch_step(struct http_request *request, struct http_context *context,
                                 void *state)
{
    struct watching *watching = (struct watching *)state;
    const uint64_t now_us = http_now(request).mono_us;
    const uint64_t allowed_us = watching->flushed_us + watching->every_us;

    if (watcher_has_overflowed(watching->watcher) && !watching->is_in_event) {
        overflow_put(watching);
        reply_flush(&watching->reply);
        return HTTP_STEP_DONE;
    }
    if (watching->is_in_event
        || (watcher_is_due(watching->watcher)
            && (watching->every_us == 0 || now_us >= allowed_us))) {
        const bool is_all = events_put(request, context, watching);

        watching->spoken_us = now_us;
        reply_flush(&watching->reply);
        if (!is_all) {
            return HTTP_STEP_AGAIN;
        }
        watching->flushed_us = now_us;
    } else if (now_us >= watching->spoken_us + HEARTBEAT_US) {
        output_put_text(&watching->reply.output, watching->is_lines ? "\n" : ": heartbeat\n\n");
        reply_flush(&watching->reply);
        watching->spoken_us = now_us;
    }
    if (watcher_is_due(watching->watcher) && allowed_us < watching->spoken_us + HEARTBEAT_US) {
        return sleep_until(request, now_us, allowed_us);
    }
    return sleep_until(request, now_us, watching->spoken_us + HEARTBEAT_US);
}

/* -- beginning ----------------------------------------------------------------------------- */

static bool include_read(struct http_request *request, struct watching *watching)
{
    static const char *const names[] = {
        [INCLUDE_DELTA] = "delta", [INCLUDE_NONE] = "none", [INCLUDE_VECTOR] = "vector"
    };
    struct bytes text;

    if (!http_query(request, "include", &text)) {
        return true;
    }
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (text_is(text, names[i])) {
            watching->include = (uint8_t)i;
            return true;
        }
    }
    http_refuse(request, 400, "'include' must be delta, none or vector");
    return false;
}

static bool filters_read(struct http_request *request, struct watcher *watcher)
{
    enum status status = STATUS_OK;
    struct bytes text;

    for (size_t at = 0; status == STATUS_OK && http_query_next(request, "key", &at, &text);) {
        if (pattern_is(text)) {
            http_refuse(request, 400, "a 'key' has no * or %%; patterns are watched with 'match'");
            return false;
        }
        status = watcher_add_key(watcher, text);
    }
    for (size_t at = 0; status == STATUS_OK && http_query_next(request, "match", &at, &text);) {
        status = watcher_add_pattern(watcher, text);
    }
    if (status == STATUS_MEMORY) {
        http_refuse_memory(request);
    } else if (status != STATUS_OK) {
        http_refuse(request, 400, "at most %d 'key' and 'match' of 1..%d bytes each",
                    WATCH_FILTERS_MAX, HTTP_KEY_BYTES_MAX);
    }
    return status == STATUS_OK;
}

static void stream_begin(struct http_request *request, struct http_context *context,
                         struct watching *watching)
{
    const uint64_t now_us = http_now(request).mono_us;

    http_header_add(request, "Vary", "Accept");
    http_stream_begin(request, 200, watching->type, HTTP_LENGTH_UNKNOWN);
    (void)reply_begin(&watching->reply, request);
    watching->spoken_us = now_us;
    ready_put(watching, context);
    reply_flush(&watching->reply);
    http_continue(request, watch_step, watching, watching_free);
}

void api_watch_get(struct http_request *request, struct http_context *context)
{
    struct watching *watching = (struct watching *)mem_alloc_zeroed(context->mem, sizeof *watching);

    if (watching == NULL) {
        http_refuse_memory(request);
        return;
    }
    watching->mem = context->mem;
    watching->is_lines = reply_form(request, API_EVENTS | API_LINES, &watching->type) == API_LINES;
    watching->watcher = watcher_create(context->watch, request, http_watch_buffer_bytes(request));
    if (watching->watcher == NULL) {
        http_refuse_memory(request);
    } else if (!query_duration(request, "every", &watching->every_us)
               || !include_read(request, watching) || !filters_read(request, watching->watcher)) {
        /* Answered. */
    } else if (!http_watcher_begin(request, watcher_filters(watching->watcher))) {
        http_refuse(request, 503,
                    "http-watchers places are taken: a stream takes one, and one for each further "
                    "key or pattern that it watches; ask for fewer or raise it");
    } else {
        stream_begin(request, context, watching);
        return;
    }
    watching_free(watching);
}
