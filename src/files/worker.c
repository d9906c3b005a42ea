#include "files/worker.h"

#include "files/perform.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct worker {
    void (*done)(void *owner, struct disk_result result);
    void *owner;
    struct event *told; /* of told_fd */
    struct files *files;
    int told_fd; /* written by the thread, read by the loop */
    pthread_t thread;
    bool is_busy; /* for the loop alone */

    pthread_mutex_t mutex;  /* of all that follows */
    pthread_cond_t changed; /* waits by CLOCK_MONOTONIC */
    struct disk_operation operation;
    struct disk_result (*task)(void *owner); /* NULL: the operation is asked for */
    struct disk_result result;
    bool is_asked; /* the operation is there, or under way */
    bool is_done;  /* the result is there, and the loop has not taken it yet */
    bool is_ending;
    bool has_ended;
};

/* Without the lock while the disk is waited for. */
static void worker_perform(struct worker *worker)
{
    struct disk_result (*const task)(void *) = worker->task;
    const uint64_t one = 1;
    struct disk_result result;

    (void)pthread_mutex_unlock(&worker->mutex);
    result = task != NULL ? task(worker->owner) : files_perform(worker->files, &worker->operation);
    (void)pthread_mutex_lock(&worker->mutex);
    worker->result = result;
    worker->is_asked = false;
    worker->is_done = true;
    (void)pthread_mutex_unlock(&worker->mutex); /* who is told finds the lock free */
    if (write(worker->told_fd, &one, sizeof one) != sizeof one) {
        assert(errno == EAGAIN); /* it was told 2^64 times, and once is enough */
    }
    (void)pthread_mutex_lock(&worker->mutex);
}

/* The thread. */
static void *worker_thread(void *argument)
{
    struct worker *worker = argument;

    (void)pthread_mutex_lock(&worker->mutex);
    while (worker->is_asked || !worker->is_ending) {
        if (worker->is_asked) {
            worker_perform(worker);
        } else {
            (void)pthread_cond_wait(&worker->changed, &worker->mutex);
        }
    }
    worker->has_ended = true;
    (void)pthread_cond_broadcast(&worker->changed);
    (void)pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

/* In the loop. */
static void worker_told(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    struct disk_result result;
    uint64_t count;
    bool is_done;

    (void)what;
    if (read(fd, &count, sizeof count) != sizeof count) {
        return;
    }
    (void)pthread_mutex_lock(&worker->mutex);
    is_done = worker->is_done;
    result = worker->result;
    worker->is_done = false;
    (void)pthread_mutex_unlock(&worker->mutex);
    if (is_done) {
        worker->is_busy = false;
        worker->done(worker->owner, result);
    }
}

/* With all signals blocked: whoever starts it may take them, it does not. */
static int worker_begin(struct worker *worker)
{
    sigset_t all;
    sigset_t before;
    int reason;

    (void)sigfillset(&all);
    reason = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (reason == 0) {
        reason = pthread_create(&worker->thread, NULL, worker_thread, worker);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    return reason;
}

static void worker_discard(struct worker *worker)
{
    if (worker->told != NULL) {
        event_free(worker->told);
    }
    if (worker->told_fd >= 0) {
        (void)close(worker->told_fd);
    }
    files_free(worker->files);
    (void)pthread_cond_destroy(&worker->changed);
    (void)pthread_mutex_destroy(&worker->mutex);
    free(worker);
}

enum status worker_create(const struct worker_options *options, struct worker **worker_out,
                          struct fault *why)
{
    struct worker *worker = calloc(1, sizeof *worker);
    pthread_condattr_t attributes;
    int reason = ENOMEM;

    if (worker == NULL) {
        return fault_set(why, STATUS_MEMORY, "no memory for the disk's thread");
    }
    worker->done = options->done;
    worker->owner = options->owner;
    (void)pthread_condattr_init(&attributes); /* these cannot fail with glibc */
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&worker->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    (void)pthread_mutex_init(&worker->mutex, NULL);
    worker->files = files_create(options->directory);
    worker->told_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->told_fd < 0) {
        reason = errno;
    } else if (worker->files != NULL) {
        worker->told =
            event_new(options->base, worker->told_fd, EV_READ | EV_PERSIST, worker_told, worker);
        if (worker->told != NULL && event_add(worker->told, NULL) == 0) {
            reason = worker_begin(worker);
        }
    }
    if (reason != 0) {
        worker_discard(worker);
        return fault_set(why, reason == ENOMEM ? STATUS_MEMORY : STATUS_SYSTEM,
                         "cannot start the disk's thread: %s", strerror(reason));
    }
    *worker_out = worker;
    return STATUS_OK;
}

static void worker_ask(struct worker *worker, const struct disk_operation *operation,
                       struct disk_result (*task)(void *owner))
{
    assert(!worker->is_busy);
    worker->is_busy = true;
    (void)pthread_mutex_lock(&worker->mutex);
    worker->operation = *operation;
    worker->task = task;
    worker->is_asked = true;
    (void)pthread_mutex_unlock(&worker->mutex);
    (void)pthread_cond_signal(&worker->changed); /* who wakes up finds the lock free */
}

void worker_submit(struct worker *worker, const struct disk_operation *operation)
{
    worker_ask(worker, operation, NULL);
}

void worker_run(struct worker *worker, struct disk_result (*task)(void *owner))
{
    static const struct disk_operation none = { .size = 0 };

    worker_ask(worker, &none, task);
}

bool worker_is_busy(const struct worker *worker)
{
    return worker->is_busy;
}

bool worker_free(struct worker *worker, uint64_t wait_us)
{
    struct timespec until;
    uint64_t wait_ns;
    bool has_ended;
    int reason = 0;

    if (worker == NULL) {
        return true;
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    wait_ns = (uint64_t)until.tv_nsec + wait_us % 1000000 * 1000;
    until.tv_sec += (time_t)(wait_us / 1000000 + wait_ns / 1000000000);
    until.tv_nsec = (long)(wait_ns % 1000000000);
    (void)pthread_mutex_lock(&worker->mutex);
    worker->is_ending = true;
    (void)pthread_cond_signal(&worker->changed);
    while (!worker->has_ended && reason != ETIMEDOUT) {
        reason = pthread_cond_timedwait(&worker->changed, &worker->mutex, &until);
    }
    has_ended = worker->has_ended;
    (void)pthread_mutex_unlock(&worker->mutex);
    if (!has_ended) {
        event_free(worker->told); /* its owner will hear no more of it */
        (void)pthread_detach(worker->thread);
        return false;
    }
    (void)pthread_join(worker->thread, NULL);
    worker_discard(worker);
    return true;
}
