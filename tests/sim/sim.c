/* The simulator: real nodes under a virtual clock, from a seed. One random run, a figure, or the
 * table of all figures. The first line of its output is the complete command, and so is the last
 * where something is red. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <time.h>
#include <unistd.h>

#include "sim/attack.h"
#include "sim/figures.h"
#include "sim/red.h"
#include "sim/report.h"
#include "sim/run.h"
#include "sim/scenarios.h"
#include "sim/trace.h"

#define COMMAND_MAX 512

const struct figure figures[] = {
    { "push", "updates to 1000 nodes at 1 % loss", figure_push },
    { "push-far", "updates across an ocean", figure_push_far },
    { "push-dead", "updates while 3 in 10 have died unnoticed", figure_push_dead },
    { "push-loss", "updates to 1000 nodes at 25 % loss", figure_push_loss },
    { "join", "a cluster begins", figure_join },
    { "idle", "bytes of a cluster at rest", figure_idle },
    { "kill", "a node is killed and comes back", figure_kill },
    { "false-deaths", "who lives is not called dead", figure_false_deaths },
    { "healing", "partitions end", figure_healing },
    { "sketch", "a whole sketch goes to another node", figure_sketch },
    { "differences", "anti-entropy finds what differs", figure_differences },
    { "amplification", "what a stranger gets for what it sends", figure_amplification },
    { "lossy", "anti-entropy where datagrams are lost", figure_lossy },
    { "pull", "an empty node catches up", figure_pull },
    { "rejoin", "a node that was away catches up under load", figure_rejoin },
    { "ends", "what ended stays away", figure_ends },
    { "crashes", "machines with disks end at any moment", figure_crashes },
    { "deadline", "many keys end in one minute", figure_deadline },
};
const size_t figures_count = sizeof figures / sizeof figures[0];

const struct scenario scenarios[] = {
    { "forged", "members are slandered", scenario_forged },
    { "units", "stamps in every unit", scenario_units },
    { "flood", "strangers from everywhere", scenario_flood },
    { "replay", "what was said is said again", scenario_replay },
    { "strangers", "strangers all the while", scenario_strangers },
    { "forgers", "forgers all the while", scenario_forgers },
    { "floods", "floods all the while", scenario_floods },
    { "siege", "every attack there is, one by one", scenario_siege },
    { "rolling", "all nodes are restarted in turn", scenario_rolling },
    { "together", "all nodes are restarted at once", scenario_together },
    { "pauses", "a tenth of them sleeps", scenario_pauses },
    { "deaths", "three in ten die at once", scenario_deaths },
    { "ahead", "wall clocks jump ahead before some die", scenario_ahead },
    { "apart", "halves without seeds are dead to one another", scenario_apart },
    { "sketches", "registers rise everywhere", scenario_sketches },
    { "full", "stores that may not take all", scenario_full },
    { "prototypes", "both kinds, with us between them", scenario_prototypes },
    { "afar", "an empty node catches up across an ocean", scenario_afar },
    { "hot", "nothing is allocated for good", scenario_hot },
    { "stalls", "every disk stands still for seconds", scenario_stalls },
    { "ends", "keys end and are deleted, whatever turns up", scenario_ends },
    { "wild", "clocks far ahead hide and free nothing", scenario_wild },
};
const size_t scenarios_count = sizeof scenarios / sizeof scenarios[0];

struct command {
    struct run_options run;
    struct figure_options figure;
    const char *figure_name;   /* "": all of them */
    const char *scenario_name; /* both NULL: a random run */
    bool has_seed;
    bool has_nodes;
    bool twice;   /* the same run again gives the same datagrams */
    bool shifted; /* and with all clocks ten years on, the same stores */
};

size_t figure_scaled(const struct figure_options *options, size_t whole, size_t least)
{
    const size_t scaled = (size_t)((double)whole * options->scale);

    return scaled < least ? least : scaled;
}

static void usage(int status)
{
    FILE *to = status == 0 ? stdout : stderr;

    fprintf(to, "usage: sim [--seed S] [--nodes N] [--seconds T] [--faults NAME,...]\n"
                "           [--digest-bits B] [--twice] [--shifted]\n"
                "       sim --scenario NAME [--seed S]\n"
                "       sim --figure NAME|--table [--seed S] [--nodes N] [--scale X]\n"
                "and --trace, which prints what each node does: a line an event, many\n"
                "faults:");
    for (size_t i = 0; run_fault_names[i] != NULL; i++) {
        fprintf(to, " %s", run_fault_names[i]);
    }
    fprintf(to, " every none\nscenarios:\n");
    for (size_t i = 0; i < scenarios_count; i++) {
        fprintf(to, "  %-14s %s\n", scenarios[i].name, scenarios[i].about);
    }
    fprintf(to, "  and each attack alone:");
    for (size_t i = 0; attack_names[i] != NULL; i++) {
        fprintf(to, " %s", attack_names[i]);
    }
    fprintf(to, "\nfigures:\n");
    for (size_t i = 0; i < figures_count; i++) {
        fprintf(to, "  %-14s %s\n", figures[i].name, figures[i].about);
    }
    exit(status);
}

static uint64_t number_of(const char *text)
{
    char *end;
    const uint64_t number = strtoull(text, &end, 0);

    if (*text == '\0' || *end != '\0') {
        fprintf(stderr, "sim: %s is not a number\n", text);
        usage(2);
    }
    return number;
}

static unsigned faults_of(const char *names)
{
    unsigned faults = 0;

    while (*names != '\0') {
        const size_t size = strcspn(names, ",");
        size_t i = 0;

        while (run_fault_names[i] != NULL
               && (strlen(run_fault_names[i]) != size
                   || memcmp(run_fault_names[i], names, size) != 0)) {
            i++;
        }
        if (run_fault_names[i] != NULL) {
            faults |= 1u << i;
        } else if (size == 5 && memcmp(names, "every", 5) == 0) {
            faults |= RUN_EVERY;
        } else if (size != 4 || memcmp(names, "none", 4) != 0) {
            fprintf(stderr, "sim: no fault is called %.*s\n", (int)size, names);
            usage(2);
        }
        names += names[size] == ',' ? size + 1 : size;
    }
    return faults;
}

/* Options without a value. False: it is none. */
static bool flag_read(struct command *command, const char *name)
{
    if (strcmp(name, "--table") == 0) {
        command->figure_name = "";
    } else if (strcmp(name, "--twice") == 0) {
        command->twice = true;
    } else if (strcmp(name, "--shifted") == 0) {
        command->shifted = true;
    } else if (strcmp(name, "--trace") == 0) {
        trace_begin();
    } else if (strcmp(name, "--help") == 0) {
        usage(0);
    } else {
        return false;
    }
    return true;
}

static void option_read(struct command *command, const char *name, const char *value)
{
    if (value == NULL) {
        fprintf(stderr, "sim: %s wants a value, or is no option\n", name);
        usage(2);
    }
    if (strcmp(name, "--seed") == 0) {
        command->run.seed = number_of(value);
        command->has_seed = true;
    } else if (strcmp(name, "--nodes") == 0) {
        command->run.nodes = number_of(value);
        command->has_nodes = true;
    } else if (strcmp(name, "--seconds") == 0) {
        command->run.seconds = number_of(value);
    } else if (strcmp(name, "--faults") == 0) {
        command->run.faults = faults_of(value);
    } else if (strcmp(name, "--digest-bits") == 0) {
        command->run.digest_bits = (unsigned)number_of(value);
    } else if (strcmp(name, "--figure") == 0) {
        command->figure_name = value;
    } else if (strcmp(name, "--scenario") == 0) {
        command->scenario_name = value;
    } else if (strcmp(name, "--scale") == 0) {
        command->figure.scale = strtod(value, NULL);
    } else {
        fprintf(stderr, "sim: no option is called %s\n", name);
        usage(2);
    }
}

/* The clock of the machine is read here and nowhere else, and only where no seed was given. */
static uint64_t seed_fresh(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return ((uint64_t)now.tv_sec << 20 ^ (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 40)
           & 0xffffffffffff;
}

static void command_read(struct command *command, int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        if (!flag_read(command, arguments[i])) {
            option_read(command, arguments[i], i + 1 < count ? arguments[i + 1] : NULL);
            i++;
        }
    }
    if (!command->has_seed) {
        command->run.seed = seed_fresh();
    }
    if (!command->has_nodes) {
        command->run.nodes = 2 + command->run.seed % 7;
        command->figure.nodes = 0;
    } else {
        command->figure.nodes = command->run.nodes;
    }
    if (command->run.nodes < 1 || command->run.digest_bits < 1 || command->run.digest_bits > 64) {
        usage(2);
    }
    command->figure.seed = command->run.seed;
}

/* The command that makes this very run again. */
static void command_print(const struct command *command, const char *program)
{
    static char text[COMMAND_MAX];
    size_t used = (size_t)snprintf(text, sizeof text, "%s --seed 0x%llx", program,
                                   (unsigned long long)command->run.seed);

    if (command->scenario_name != NULL) {
        snprintf(text + used, sizeof text - used, " --scenario %s", command->scenario_name);
        red_command(text);
        return;
    }
    if (command->figure_name != NULL) {
        const bool all = command->figure_name[0] == '\0';

        used += (size_t)snprintf(text + used, sizeof text - used, " %s%s --scale %g",
                                 all ? "--table" : "--figure ", command->figure_name,
                                 command->figure.scale);
        if (command->figure.nodes > 0) {
            snprintf(text + used, sizeof text - used, " --nodes %zu", command->figure.nodes);
        }
        red_command(text);
        return;
    }
    used +=
        (size_t)snprintf(text + used, sizeof text - used, " --nodes %zu --seconds %llu --faults ",
                         command->run.nodes, (unsigned long long)command->run.seconds);
    for (size_t i = 0; run_fault_names[i] != NULL; i++) {
        if ((command->run.faults >> i & 1) != 0) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s,", run_fault_names[i]);
        }
    }
    if (command->run.faults == 0) {
        used += (size_t)snprintf(text + used, sizeof text - used, "none,");
    }
    snprintf(text + used - 1, sizeof text - used + 1, " --digest-bits %u%s%s",
             command->run.digest_bits, command->twice ? " --twice" : "",
             command->shifted ? " --shifted" : "");
    red_command(text);
}

static void disks_print(const struct storage_figures *disks)
{
    printf(
        "disks: %llu power cuts, %llu kills, %llu stops, %llu loads (%llu torn, %llu damaged, "
        "%llu read again), %llu records gone by rot, %llu snapshots, %llu failures, %llu stalls, "
        "%llu lies; nothing lost\n",
        (unsigned long long)disks->power_cuts, (unsigned long long)disks->kills,
        (unsigned long long)disks->stops, (unsigned long long)disks->loads,
        (unsigned long long)disks->torn, (unsigned long long)disks->damaged,
        (unsigned long long)disks->refused, (unsigned long long)disks->missing,
        (unsigned long long)disks->snapshots, (unsigned long long)disks->failures,
        (unsigned long long)disks->stalls, (unsigned long long)disks->lies);
}

static void run(const struct command *command)
{
    const struct run_result result = run_random(&command->run);

    if ((command->run.faults & RUN_DISK) != 0) {
        disks_print(&result.disks);
    }
    printf("settled after %.1f s, %llu datagrams, trace %016llx\n", (double)result.settled_us / 1e6,
           (unsigned long long)result.datagrams, (unsigned long long)result.trace);
    if (command->twice) {
        const struct run_result again = run_random(&command->run);

        if (again.trace != result.trace || again.content != result.content) {
            red("same seed, same run", "the second run had the trace %016llx",
                (unsigned long long)again.trace);
        }
    }
    if (command->shifted) {
        struct run_options options = command->run;
        struct run_result later;

        options.unix_shift_s = 315360000; /* ten years */
        later = run_random(&options);
        if (later.content != result.content) {
            red("clocks", "ten years later the same run has other stores");
        }
    }
}

static bool scenario(const struct command *command)
{
    for (size_t i = 0; i < scenarios_count; i++) {
        if (strcmp(command->scenario_name, scenarios[i].name) == 0) {
            scenarios[i].run(command->run.seed);
            return true;
        }
    }
    return scenario_act(command->scenario_name, command->run.seed);
}

static bool measure(const struct command *command)
{
    bool found = false;

    for (size_t i = 0; i < figures_count; i++) {
        if (command->figure_name[0] == '\0' || strcmp(command->figure_name, figures[i].name) == 0) {
            figures[i].run(&command->figure);
            found = true;
        }
    }
    if (report_missed() > 0) {
        red("figures", "%u of them are missed", report_missed());
    }
    return found;
}

/* Begin again where addresses of memory are the same each time: indexes that hash pointers take a
 * segment more or less by them, and a node at its limit of memory then refuses something else.
 * Where that is forbidden a run is the same only as long as no node reaches its limit. */
static void addresses_fix(char **argv)
{
    const int persona = personality(0xffffffff);

    if (persona != -1 && (persona & ADDR_NO_RANDOMIZE) == 0
        && personality((unsigned long)persona | ADDR_NO_RANDOMIZE) != -1) {
        execv("/proc/self/exe", argv);
    }
}

int main(int argc, char **argv)
{
    struct command command = {
        .run = { .seconds = 60, .digest_bits = 64, .faults = RUN_EVERY },
        .figure = { .scale = 1 },
    };
    bool found = true;

    addresses_fix(argv);
    command_read(&command, argc, argv);
    command_print(&command, argv[0]);
    if (command.scenario_name != NULL) {
        found = scenario(&command);
    } else if (command.figure_name != NULL) {
        found = measure(&command);
    } else {
        run(&command);
    }
    if (!found) {
        usage(2);
    }
    return 0;
}
