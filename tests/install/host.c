/* SPDX-License-Identifier: Apache-2.0 */
/* host.c - loads a plugin, runs it, unloads it, and looks whether the library that it was linked
 * with has stayed: threads of that are idle, and go on in its code when they wake up. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>

static int fail(const char *what)
{
    fprintf(stderr, "host: %s\n", what);
    return 1;
}

static bool is_loaded(const char *name)
{
    void *library = dlopen(name, RTLD_NOW | RTLD_NOLOAD);

    if (library)
        dlclose(library);
    return library != NULL;
}

/* host PLUGIN LIBRARY, by its path and by its soname. */
int main(int argc, char **argv)
{
    void *plugin = argc == 3 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    int (*run)(void);

    if (!plugin)
        return fail(argc == 3 ? dlerror() : "want a plugin and the name of a library");
    *(void **)&run = dlsym(plugin, "plugin_run");
    if (!run || run() != 42)
        return fail("the plugin does not run");
    dlclose(plugin);
    if (is_loaded(argv[1]))
        return fail("the plugin has stayed, and the library with it");
    if (!is_loaded(argv[2]))
        return fail("the library was unloaded while threads of it are idle");
    return 0;
}
