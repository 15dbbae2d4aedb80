// Calls functions of kernels/native in a process of their own: built for another processor and run by an emulator, or with
// sanitizers. Every buffer is an allocation of exactly its size. See neon.py, which writes the calls and reads the answers.
//
// in   calls until the end; of each: name; arguments: 'i' int64, 'f' the bytes of a float or double, 'b' a buffer, 'm' a buffer
//      that is no argument, 'e' the end of them; then pointers, as buffer, offset, buffer: there the first buffer gets the
//      address of the second; -1 ends them
// out  of each call the value returned, then the bytes of its buffers
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

typedef int64_t I;
typedef double F;  // a float is the lower half of the register
// Integers and floats have registers of their own, so that a caller need not know how they alternate.
typedef I (*Function)(I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, F, F, F, F, F, F, F, F);

struct Buffer {
    uint8_t* data;
    I size;
};

static I number() {
    I value = 0;
    if (fread(&value, 8, 1, stdin) != 1) exit(ferror(stdin) ? 3 : 0);
    return value;
}

static Buffer buffer() {
    const I size = number();
    Buffer made = {(uint8_t*)malloc(size ? size : 1), size};
    if (fread(made.data, 1, size, stdin) != (size_t)size) exit(3);
    return made;
}

int main() {
    while (true) {
        const Buffer name = buffer();
        std::vector<Buffer> buffers;
        I ints[16] = {}, int_count = 0, float_count = 0;
        double floats[8] = {};
        for (I kind = number(); kind != 'e'; kind = number()) {
            if (int_count == 16 || float_count == 8) return 4;
            if (kind == 'i') ints[int_count++] = number();
            if (kind == 'f') {
                const I bits = number();
                memcpy(&floats[float_count++], &bits, 8);
            }
            if (kind == 'b') buffers.push_back(buffer()), ints[int_count++] = (I)(intptr_t)buffers.back().data;
            if (kind == 'm') buffers.push_back(buffer());
        }
        for (I from = number(); from >= 0; from = number()) {
            const I offset = number(), to = number();
            memcpy(buffers[from].data + offset, &buffers[to].data, sizeof(void*));
        }
        const Function function = (Function)dlsym(RTLD_DEFAULT, std::string((char*)name.data, name.size).c_str());
        if (!function) return 5;
        const I* i = ints;
        const double* f = floats;
        const I value = function(i[0], i[1], i[2], i[3], i[4], i[5], i[6], i[7], i[8], i[9], i[10], i[11], i[12], i[13], i[14],
                                 i[15], f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]);
        fwrite(&value, 8, 1, stdout);
        for (const Buffer& made : buffers) fwrite(made.data, 1, made.size, stdout), free(made.data);
        free(name.data);
    }
}
