#ifndef UNIT_CONFIG_FIXTURE_H
#define UNIT_CONFIG_FIXTURE_H

/* Settings as a daemon begins with them, and the sentences that were said about them. */

#include "config/options.h"

#include <stdio.h>
#include <string.h>

#include "unit/test.h"

struct fixture {
    struct config config;
    struct config_report report;
    char said[4096]; /* sentences, one a line */
};

static inline void say(void *owner, const char *sentence)
{
    struct fixture *fixture = owner;
    const size_t size = strlen(fixture->said);

    (void)snprintf(fixture->said + size, sizeof fixture->said - size, "%s\n", sentence);
}

static inline int setup(void **state)
{
    static struct fixture fixture;

    memset(&fixture, 0, sizeof fixture);
    fixture.report = (struct config_report){ .say = say, .owner = &fixture };
    *state = &fixture;
    return config_init(&fixture.config) ? 0 : -1;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    config_clear(&fixture->config);
    return 0;
}

#endif /* UNIT_CONFIG_FIXTURE_H */
