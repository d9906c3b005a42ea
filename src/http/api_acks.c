#include "http/api_acks.h"

/* The first look is when what is pushed to neighbours has come to them: members of a quiet cluster
 * have it within two or three round trips. Those after it come when a quarter more has passed, and
 * not too rarely where others write: then data are equal for moments. */
#define LOOK_US     4000
#define LOOK_SHARE  4
#define LOOK_US_MAX 64000

/* One more is asked than are missing, as the one asked may be on its way to be dead. */
#define ASK_SPARE 1

bool acks_read(struct http_request *request, struct acks *acks)
{
    return query_u64(request, "ack", 0, ACKS_MAX, &acks->wanted);
}

static uint64_t smaller(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

static uint64_t next_look_us(uint64_t waited_us)
{
    const uint64_t share_us = smaller(waited_us / LOOK_SHARE, LOOK_US_MAX);

    return smaller(share_us < LOOK_US ? LOOK_US : share_us, ACKS_WAIT_US - waited_us);
}

enum http_step acks_wait(struct http_request *request, const struct http_context *context,
                         struct acks *acks)
{
    const struct moment now = http_now(request);
    uint64_t waited_us;

    if (acks->wanted == 0) {
        return HTTP_STEP_DONE;
    }
    if (acks->turn_us == 0) {
        acks->turn_us = now.mono_us;
    }
    waited_us = now.mono_us - acks->turn_us;
    acks->reached = node_acks(context->node, acks->turn_us);
    if (acks->reached >= acks->wanted || waited_us >= ACKS_WAIT_US || !http_may_wait(request)) {
        return HTTP_STEP_DONE;
    }
    if (waited_us >= LOOK_US) {
        node_acks_ask(context->node, now, acks->turn_us,
                      (uint32_t)acks->wanted - acks->reached + ASK_SPARE);
    }
    http_timer(request, next_look_us(waited_us));
    return HTTP_STEP_SLEEP;
}

unsigned acks_code(const struct acks *acks, unsigned code)
{
    return acks->reached < acks->wanted ? 202 : code;
}

void acks_put(struct json_writer *json, const struct acks *acks)
{
    if (acks->wanted > 0) {
        json_name(json, "acks");
        json_u64(json, acks->reached);
    }
}
