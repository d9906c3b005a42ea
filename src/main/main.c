/* vignetted(8): reads the command line, becomes what it was told to be, and runs the daemon. */

#include "config/command.h"
#include "log/log.h"
#include "main/daemon.h"
#include "main/inspect.h"
#include "main/libevent.h"
#include "main/process.h"
#include "main/settings.h"
#include "store/digest.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What a reload needs again. */
struct program {
    int argc;
    char *const *argv;
    struct config configs[2]; /* the one in force, and the one being read */
    unsigned config;
    struct log *log;
    struct daemon *daemon;
    int ready_fd;
    int pid_fd;
    bool is_salvaging;
};

static void say_on_stderr(void *owner, const char *sentence)
{
    (void)owner;
    (void)fprintf(stderr, "vignetted: %s\n", sentence);
}

static void say_in_log(void *owner, const char *sentence)
{
    struct program *program = owner;

    log_event(program->log, LOG_LEVEL_ERROR, "reload_refused", log_string("reason", sentence));
}

/* Take settings that were found good; everything that can fail comes before what changes. */
static enum status take(struct program *program, const struct config *next, struct fault *why)
{
    struct log_options options;
    struct log *log;
    enum status status;

    settings_log(next, &options);
    status = log_open(&options, &log, why);
    if (status != STATUS_OK) {
        return status;
    }
    status = daemon_reload(program->daemon, next, why);
    if (status != STATUS_OK) {
        log_close(log);
        return status;
    }
    log_replace(program->log, log);
    return STATUS_OK;
}

/* SIGHUP: all or nothing. */
static void reload(void *owner)
{
    struct program *program = owner;
    struct config *now = &program->configs[program->config];
    struct config *next = &program->configs[program->config ^ 1];
    struct config_report report = { .say = say_in_log, .owner = program };
    enum command_action action;
    const char *file;
    struct fault why;

    if (command_read(program->argc, program->argv, next, &action, &file, &report) != COMMAND_GOOD
        || !settings_check(next, &report)) {
        config_clear(next);
        return;
    }
    config_keep(now, next);
    if (take(program, next, &why) != STATUS_OK) {
        say_in_log(program, why.text);
        config_keep(now, next);
        config_clear(next);
        return;
    }
    config_clear(now);
    program->config ^= 1;
    log_event(program->log, LOG_LEVEL_INFO, "reloaded",
              log_string("file", file == NULL ? "none" : file));
}

/* All that was kept is loaded: who waits for the start may go on. */
static void tell_ready(void *owner)
{
    struct program *program = owner;

    process_tell(program->ready_fd, EXIT_GOOD);
    program->ready_fd = -1;
}

/* Where the log would have gone, since nobody may read stderr. A log file that is not there yet is
 * not made: it would belong to who we are now, not to who we were to become. */
static void say_in_target(const struct config *config, const char *sentence)
{
    struct log_options options;
    struct log *log;
    struct fault why;

    settings_log(config, &options);
    if (strcmp(options.target, "stderr") == 0
        || (strcmp(options.target, "syslog") != 0 && access(options.target, W_OK) != 0)
        || log_open(&options, &log, &why) != STATUS_OK) {
        return;
    }
    log_event(log, LOG_LEVEL_ERROR, "start_failed", log_string("reason", sentence));
    log_close(log);
}

/* The end of a start that went wrong: one sentence, one status, also for a waiting parent. */
static enum process_exit fail(struct program *program, enum process_exit exit,
                              const struct fault *why)
{
    say_on_stderr(NULL, why->text);
    say_in_target(&program->configs[0], why->text);
    process_tell(program->ready_fd, exit);
    return exit;
}

/* Sockets and the pid file, which may need more rights than what follows. */
static enum process_exit prepare(struct program *program, struct fault *why)
{
    const struct config *config = &program->configs[0];
    struct daemon_options options = { .config = config,
                                      .log = program->log,
                                      .descriptors = process_descriptors(),
                                      .is_salvaging = program->is_salvaging,
                                      .reload = reload,
                                      .ready = tell_ready,
                                      .owner = program };
    enum process_exit exit;

    if (config->pidfile[0] != '\0'
        && process_pidfile(config->pidfile, &program->pid_fd, why) != STATUS_OK) {
        return EXIT_CANNOT_CREATE;
    }
    if (daemon_create(&options, &program->daemon, &exit, why) != STATUS_OK) {
        return exit;
    }
    return process_become(config->user, config->group, why) == STATUS_OK ? EXIT_GOOD : EXIT_CONFIG;
}

static enum process_exit run(struct program *program)
{
    const struct config *config = &program->configs[0];
    struct log_options options;
    struct log *log;
    enum process_exit exit;
    struct fault why;

    /* A signal that other daemons use for something must not end this one. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGUSR1, SIG_IGN);
    (void)signal(SIGUSR2, SIG_IGN);
    if (process_standard(&why) != STATUS_OK) {
        return fail(program, EXIT_SOFTWARE, &why);
    }
    if (config->daemonize != 0 && process_daemonize(&program->ready_fd, &why) != STATUS_OK) {
        return fail(program, EXIT_SOFTWARE, &why);
    }
    /* stderr for the start; the log proper is opened by the user who must open it at a reload. */
    settings_log(config, &options);
    options.target = "stderr";
    if (log_open(&options, &program->log, &why) != STATUS_OK) {
        return fail(program, EXIT_SOFTWARE, &why);
    }
    libevent_log(program->log);
    exit = prepare(program, &why);
    if (exit != EXIT_GOOD) {
        return fail(program, exit, &why);
    }
    settings_log(config, &options);
    if (log_open(&options, &log, &why) != STATUS_OK) {
        return fail(program, EXIT_CANNOT_CREATE, &why);
    }
    log_replace(program->log, log);
    if (daemon_start(program->daemon, &exit, &why) != STATUS_OK) {
        return fail(program, exit, &why);
    }
    exit = daemon_run(program->daemon, &why);
    return exit == EXIT_GOOD ? EXIT_GOOD : fail(program, exit, &why);
}

/* What is asked of the data directory that data-dir names by then. */
static enum process_exit inspect(const struct config *config, enum command_action action,
                                 const char *file)
{
    const struct bytes cluster = { (const uint8_t *)config->cluster, strlen(config->cluster) };
    enum process_exit exit;
    struct fault why;

    switch (action) {
    case COMMAND_CHECK: exit = inspect_check(config->data_dir, stdout, &why); break;
    case COMMAND_EXPORT: exit = inspect_export(config->data_dir, stdout, &why); break;
    default:
        exit = inspect_import(config->data_dir, digest_cluster_id(cluster), file, stdout, &why);
        break;
    }
    if (why.text[0] != '\0') {
        say_on_stderr(NULL, why.text);
    }
    return exit;
}

static enum process_exit act(struct program *program, enum command_action action, const char *file)
{
    switch (action) {
    case COMMAND_CHECK:
    case COMMAND_EXPORT:
    case COMMAND_IMPORT: return inspect(&program->configs[0], action, file);
    case COMMAND_HELP: (void)fputs(command_help, stdout); return EXIT_GOOD;
    case COMMAND_VERSION: (void)puts("vignetted " VERSION_TEXT); return EXIT_GOOD;
    case COMMAND_SHOW:
        settings_show(&program->configs[0]);
        config_show(&program->configs[0], stdout);
        return EXIT_GOOD;
    case COMMAND_TEST: (void)puts("vignetted: the configuration is good"); return EXIT_GOOD;
    default: program->is_salvaging = action == COMMAND_SALVAGE; return run(program);
    }
}

int main(int argc, char **argv)
{
    struct program program = { .argc = argc, .argv = argv, .ready_fd = -1, .pid_fd = -1 };
    struct config_report report = { .say = say_on_stderr };
    enum command_action action;
    const char *file;
    enum process_exit exit;
    const enum command_result result =
        command_read(argc, argv, &program.configs[0], &action, &file, &report);

    if (result == COMMAND_GOOD && settings_check(&program.configs[0], &report)) {
        exit = act(&program, action, file);
    } else {
        exit = result == COMMAND_USAGE ? EXIT_USAGE : EXIT_CONFIG;
    }
    daemon_free(program.daemon);
    libevent_log(NULL);
    process_pidfile_remove(program.configs[program.config].pidfile, program.pid_fd);
    log_close(program.log);
    config_clear(&program.configs[program.config]);
    return (int)exit;
}
