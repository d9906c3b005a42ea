/* What this file tests: operations are done one after the other beside the loop, which hears of
 * each, and a disk that does not answer holds nobody. fdatasync() below stands before that of the C
 * library: while the gate is shut it does not come back. */

#include "files/worker.h"

#include <event2/event.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "unit/folder.h"

static int gate[2]; /* a sync takes one byte out of it, and waits for that */
static pthread_t syncing;
static bool takes_signals;
static const struct worker *left_behind; /* known to a checker of leaks */

int fdatasync(int fd)
{
    sigset_t blocked;
    char byte;

    (void)fd;
    syncing = pthread_self();
    takes_signals = pthread_sigmask(SIG_BLOCK, NULL, &blocked) != 0
                    || !sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGHUP);
    return read(gate[0], &byte, 1) == 1 ? 0 : -1;
}

struct fixture {
    struct folder folder;
    struct event_base *base;
    struct worker *worker;
    struct disk_result results[8];
    size_t count;
    size_t wanted; /* operations to ask for, each from the result of the one before */
};

static void submit(struct fixture *fixture, enum disk_verb verb)
{
    const struct disk_operation operation = { .file = { .number = 1, .kind = DISK_LOG },
                                              .verb = (uint8_t)verb,
                                              .from = (const uint8_t *)"bytes",
                                              .size = 5 };

    worker_submit(fixture->worker, &operation);
}

static void done(void *owner, struct disk_result result)
{
    struct fixture *fixture = owner;

    assert_false(worker_is_busy(fixture->worker));
    fixture->results[fixture->count++] = result;
    if (fixture->count < fixture->wanted) {
        submit(fixture, DISK_WRITE);
    } else {
        (void)event_base_loopbreak(fixture->base);
    }
}

static int setup(void **state)
{
    static struct fixture fixture;
    struct worker_options options = { .owner = &fixture, .done = done };
    struct fault why;

    memset(&fixture, 0, sizeof fixture);
    folder_make(&fixture.folder);
    fixture.base = event_base_new();
    options.base = fixture.base;
    options.directory = fixture.folder.fd;
    *state = &fixture;
    return pipe(gate) == 0 && worker_create(&options, &fixture.worker, &why) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    assert_true(worker_free(fixture->worker, 10000000));
    event_base_free(fixture->base);
    folder_remove(&fixture->folder);
    (void)close(gate[0]);
    (void)close(gate[1]);
    return 0;
}

/* Run the loop until so many results have come. */
static void await(struct fixture *fixture, size_t wanted)
{
    fixture->wanted = wanted;
    (void)alarm(20);
    assert_int_equal(event_base_dispatch(fixture->base), 0);
    (void)alarm(0);
    assert_int_equal(fixture->count, wanted);
}

static struct disk_result task(void *owner)
{
    (void)owner;
    syncing = pthread_self();
    return (struct disk_result){ .size = 7 };
}

static void test_worker_does_a_task_among_operations(void **state)
{
    struct fixture *fixture = *state;

    submit(fixture, DISK_CREATE);
    await(fixture, 1);
    worker_run(fixture->worker, task);
    assert_true(worker_is_busy(fixture->worker));
    await(fixture, 2);
    assert_int_equal(fixture->results[1].size, 7);
    assert_false(pthread_equal(syncing, pthread_self()));
    submit(fixture, DISK_WRITE);
    await(fixture, 3);
    assert_int_equal(fixture->results[2].outcome, DISK_DONE);
    assert_int_equal(fixture->results[2].size, 0);
}

static void test_worker_does_one_operation_after_the_other(void **state)
{
    struct fixture *fixture = *state;
    char text[8];

    assert_false(worker_is_busy(fixture->worker));
    submit(fixture, DISK_WRITE);
    assert_true(worker_is_busy(fixture->worker));
    await(fixture, 1);
    assert_int_equal(fixture->results[0].outcome, DISK_BROKEN); /* there is no such file */
    assert_int_equal(fixture->results[0].error, EBADF);
    submit(fixture, DISK_CREATE);
    await(fixture, 8);
    for (size_t i = 1; i < 8; i++) {
        assert_int_equal(fixture->results[i].outcome, DISK_DONE);
    }
    assert_int_equal(folder_read(&fixture->folder, "log-1", text, sizeof text), 5);
}

static void test_worker_waits_for_the_disk_and_the_loop_does_not(void **state)
{
    struct fixture *fixture = *state;

    submit(fixture, DISK_CREATE);
    await(fixture, 1);
    submit(fixture, DISK_SYNC);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(event_base_loop(fixture->base, EVLOOP_NONBLOCK), 0);
        assert_true(worker_is_busy(fixture->worker));
    }
    assert_int_equal(write(gate[1], "x", 1), 1);
    await(fixture, 2);
    assert_int_equal(fixture->results[1].outcome, DISK_DONE);
    assert_false(pthread_equal(syncing, pthread_self()));
    assert_false(takes_signals);
}

static void test_worker_is_left_behind_when_the_disk_does_not_answer(void **state)
{
    struct fixture *fixture = *state;
    struct worker_options options = {
        .base = fixture->base, .directory = fixture->folder.fd, .owner = fixture, .done = done
    };
    struct timespec before;
    struct timespec after;
    struct fault why;

    submit(fixture, DISK_CREATE);
    await(fixture, 1);
    submit(fixture, DISK_SYNC);
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    (void)alarm(20);
    assert_false(worker_free(fixture->worker, 20000));
    left_behind = fixture->worker;
    fixture->worker = NULL;
    (void)alarm(0);
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec
                >= 20000000);
    assert_non_null(left_behind);
    assert_int_equal(event_base_loop(fixture->base, EVLOOP_NONBLOCK), 1); /* no event is left */
    assert_int_equal(fixture->count, 1);
    assert_int_equal(write(gate[1], "x", 1), 1); /* it comes back when nobody cares any more */
    assert_int_equal(worker_create(&options, &fixture->worker, &why), STATUS_OK);
}

static void test_worker_that_ends_does_what_it_was_told_to_and_tells_nobody(void **state)
{
    struct fixture *fixture = *state;
    struct worker_options options = {
        .base = fixture->base, .directory = fixture->folder.fd, .owner = fixture, .done = done
    };
    struct fault why;

    submit(fixture, DISK_CREATE);
    assert_true(worker_free(fixture->worker, 10000000));
    assert_int_equal(fixture->count, 0);
    assert_true(folder_has(&fixture->folder, "log-1"));
    assert_true(worker_free(NULL, 0));
    assert_int_equal(worker_create(&options, &fixture->worker, &why), STATUS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_worker_does_one_operation_after_the_other),
        TEST(test_worker_does_a_task_among_operations),
        TEST(test_worker_waits_for_the_disk_and_the_loop_does_not),
        TEST(test_worker_is_left_behind_when_the_disk_does_not_answer),
        TEST(test_worker_that_ends_does_what_it_was_told_to_and_tells_nobody),
    };

    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
