/* Runs a compiled block of trials: reads its table and its memory from a file, calls `run`, and writes both back.

   The file: numbers of 64 bits: how many fields the table has and how many arrays there are, the fields, for each field
   the number of the array that it points into (or -1), and the arrays' sizes in bytes; then the arrays' bytes. A field
   that points into an array holds the distance from its beginning. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

void run(int64_t *table);

static void take(void *to, size_t size, size_t count, FILE *from) {
  if (fread(to, size, count, from) != count) exit(1);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  FILE *file = fopen(argv[1], "rb");
  if (!file) return 3;
  int64_t fields, arrays;
  take(&fields, 8, 1, file);
  take(&arrays, 8, 1, file);
  int64_t *table = malloc(8 * fields), *array = malloc(8 * fields), *size = malloc(8 * arrays);
  take(table, 8, fields, file);
  take(array, 8, fields, file);
  take(size, 8, arrays, file);
  char **memory = malloc(sizeof(char *) * arrays);
  for (int64_t k = 0; k < arrays; k++) {
    memory[k] = aligned_alloc(64, (size[k] + 127) / 64 * 64);
    take(memory[k], 1, size[k], file);
  }
  fclose(file);
  for (int64_t k = 0; k < fields; k++)
    if (array[k] >= 0) table[k] += (int64_t)memory[array[k]];
  run(table);
  file = fopen(argv[2], "wb");
  if (!file) return 4;
  for (int64_t k = 0; k < arrays; k++)
    if (fwrite(memory[k], 1, size[k], file) != (size_t)size[k]) return 5;
  for (int64_t k = 0; k < fields; k++)
    if (array[k] >= 0) table[k] -= (int64_t)memory[array[k]];
  if (fwrite(table, 8, fields, file) != (size_t)fields) return 7;
  return fclose(file) ? 6 : 0;
}
