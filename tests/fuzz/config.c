/* SPDX-License-Identifier: Apache-2.0 */
/* config.c - settings of UCX in code and in the environment, and the keys that a UCX knows. */
#include "rdma/config.h"

#include "tests/fixture.h"
#include "tests/fuzz/input.h"
#include "tests/rdma/fake_ucx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTINGS_MAX = 4, TEXT_MAX = 400 };

static unsigned count_environment(void)
{
    unsigned count = 0;

    while (environ[count])
        count++;
    return count;
}

static const char *last_words(const struct rill_rdma_why *why)
{
    expect(memchr(why->text, '\0', sizeof why->text));
    return why->text;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    char keys[SETTINGS_MAX][TEXT_MAX], values[SETTINGS_MAX][TEXT_MAX], known[TEXT_MAX];
    char entry[TEXT_MAX] = "UCX_";
    struct rill_rdma_setting settings[SETTINGS_MAX];
    struct rill_rdma_why why = {{0}}, remark = {{0}};
    struct rill_rdma_config config = {0};
    size_t count;
    unsigned variables, wishes;
    int error;

    fake_reset();
    wishes = input_byte(&input) % 8;
    fake.minor_version = input_byte(&input);
    fake.transport_keys = input_text(&input, known, sizeof known);
    input_text(&input, entry + strlen("UCX_"), sizeof entry - strlen("UCX_"));
    setenv(entry, "1", 1); /* refused, where it is no name */
    for (count = 0; count < SETTINGS_MAX && input_has(&input); count++) {
        settings[count].key = input_text(&input, keys[count], TEXT_MAX);
        settings[count].value = input_text(&input, values[count], TEXT_MAX);
    }
    variables = count_environment();
    error = rill_rdma_config_begin(&config, &fake_ucx, wishes, settings, count, &why);
    if (error == 0) {
        error = rill_rdma_config_check(&config, &fake_ucx, settings, count, &why, &remark);
        rill_rdma_config_end(&config, &fake_ucx);
    }
    expect(error == 0 || error == -EINVAL);
    expect((error != 0) == (*last_words(&why) != '\0'));
    last_words(&remark);
    expect_eq(fake.configs, 0);
    expect_eq(count_environment(), variables);
    unsetenv(entry);
    return 0;
}
