/* JSON: what is taken as a value is written and read again as the same one. */
#include <string.h>

#include <muster/value.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mu_value value = MU_VALUE_INIT, back = MU_VALUE_INIT;
    char *text, *again;
    size_t length, length_again;
    if (mu_value_from_json((const char *)data, size, &value, NULL) != MU_OK)
        return 0;
    fuzz_must(mu_value_to_json(&value, &text, &length) == MU_OK);
    fuzz_must(mu_value_from_json(text, length, &back, NULL) == MU_OK);
    fuzz_must(mu_value_to_json(&back, &again, &length_again) == MU_OK);
    fuzz_must(length == length_again && memcmp(text, again, length) == 0);
    free(text);
    free(again);
    mu_value_clear(&value);
    mu_value_clear(&back);
    return 0;
}
