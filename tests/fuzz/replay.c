/* Runs a fuzz target over every file of the folders given, without a fuzzer: what was found once
 * stays found, with any compiler. Without folders it takes REPLAY_FOLDER under $srcdir. Says how
 * many files there were; none is a failure. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define REPLAY_FILE_BYTES_MAX (1024L * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Run one file. False: it cannot be read, or is too big to be meant. */
static int replay_file(const char *path)
{
    FILE *const file = fopen(path, "rb");
    uint8_t *data = NULL;
    struct stat stat;
    int done = 0;

    if (file == NULL) {
        perror(path);
        return 0;
    }
    if (fstat(fileno(file), &stat) == 0 && stat.st_size <= REPLAY_FILE_BYTES_MAX) {
        const size_t size = (size_t)stat.st_size;

        /* Exactly as large as the file, so that reading on would be seen. */
        data = malloc(size > 0 ? size : 1);
        if (data != NULL && fread(data, 1, size, file) == size) {
            (void)LLVMFuzzerTestOneInput(data, size);
            done = 1;
        }
    }
    if (!done) {
        fprintf(stderr, "%s: cannot be read whole\n", path);
    }
    free(data);
    (void)fclose(file);
    return done;
}

/* Run all files of a folder, hidden ones left out. Returns how many; -1: failed. */
static long replay_folder(const char *folder)
{
    DIR *const entries = opendir(folder);
    const struct dirent *entry;
    long count = 0;

    if (entries == NULL) {
        perror(folder);
        return -1;
    }
    while (count >= 0 && (entry = readdir(entries)) != NULL) {
        char path[4096];
        int size;

        if (entry->d_name[0] == '.') {
            continue;
        }
        size = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count = size > 0 && (size_t)size < sizeof path && replay_file(path) ? count + 1 : -1;
    }
    (void)closedir(entries);
    return count;
}

int main(int argc, char **argv)
{
    const char *const srcdir = getenv("srcdir");
    char folder[4096];
    long total = 0;

    if (argc == 1) {
        (void)snprintf(folder, sizeof folder, "%s/%s", srcdir == NULL ? "." : srcdir,
                       REPLAY_FOLDER);
        total = replay_folder(folder);
    }
    for (int i = 1; i < argc && total >= 0; i++) {
        const long count = replay_folder(argv[i]);

        total = count < 0 ? -1 : total + count;
    }
    printf("%ld files replayed\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
