/* Configuration files: refused with a reason, or taken, filled in and described. */
#include <muster/config.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const variables[] = {NULL};
    mu_config_source source = MU_CONFIG_SOURCE_INIT;
    mu_config *config = NULL;
    mu_error error = MU_ERROR_INIT;
    source.path = "fuzz.ini";
    source.text = (const char *)data;
    source.size = size;
    source.environment = "production";
    source.variables = variables;
    if (mu_config_load(&source, &config, &error) == MU_OK) {
        mu_pool_options options = MU_POOL_OPTIONS_INIT;
        if (mu_config_pool(config, NULL, &options, &error) == MU_OK) {
            char *text;
            fuzz_must(mu_config_describe(config, &options, &text) == MU_OK);
            free(text);
        } else {
            fuzz_must(error.message[0]);
        }
    } else {
        fuzz_must(!config);
        fuzz_must(error.message[0]);
    }
    mu_error_clear(&error);
    mu_config_free(&config);
    return 0;
}
