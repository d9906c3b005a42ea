#include "http/api_expire.h"

#include "base/deadline.h"
#include "base/text.h"
#include "store/pattern.h"

#include <string.h>

#define MINUTE_MS 60000
#define SECOND_MS 1000

/* What `?expire=` says, in seconds. False: refused. */
static bool expire_query(struct http_request *request, struct bytes text, uint64_t *keep_s)
{
    uint64_t ms;

    if (deadline_of(http_key(request)) != DEADLINE_NONE) {
        http_refuse(request, 400,
                    "'expire' makes a name that says when it ends; this one does already: give one "
                    "of the two");
        return false;
    }
    if (!text_get_duration_ms(text, &ms) || ms < MINUTE_MS) {
        http_refuse(request, 400,
                    "'expire' must be a duration of a minute or more, like 12h or "
                    "35d");
        return false;
    }
    *keep_s = ms / SECOND_MS + (ms % SECOND_MS != 0);
    return true;
}

/* What the first `keep` rule says that matches a name; 0: none does. */
static uint64_t keep_rule(const struct http_context *context, struct bytes key)
{
    for (size_t i = 0; i < context->keeps_count; i++) {
        if (pattern_matches(context->keeps[i].pattern, key)) {
            return context->keeps[i].keep_s;
        }
    }
    return 0;
}

bool expire_key(struct http_request *request, const struct http_context *context,
                uint8_t room[HTTP_KEY_BYTES_MAX], struct bytes *key)
{
    char end[DEADLINE_BYTES_MAX];
    uint64_t keep_s = 0;
    uint32_t deadline;
    struct bytes text;
    size_t size;

    if (http_query(request, "expire", &text)) {
        if (!expire_query(request, text, &keep_s)) {
            return false;
        }
    } else if (deadline_of(*key) == DEADLINE_NONE) {
        keep_s = keep_rule(context, *key);
    }
    if (keep_s == 0) {
        return true;
    }
    deadline = deadline_after(node_now_s(context->node, http_now(request)), keep_s);
    if (deadline == DEADLINE_NONE) {
        http_refuse(request, 400, "'expire' leads beyond the year 9999");
        return false;
    }
    size = deadline_put(end, deadline);
    if (size > HTTP_KEY_BYTES_MAX - key->size) {
        http_refuse(request, 400,
                    "the key is too long: with the %zu bytes that say when it ends it has more "
                    "than %d",
                    size, HTTP_KEY_BYTES_MAX);
        return false;
    }
    memcpy(room, key->data, key->size);
    memcpy(room + key->size, end, size);
    *key = (struct bytes){ room, key->size + size };
    http_location(request, (struct bytes){ (const uint8_t *)end, size });
    return true;
}
