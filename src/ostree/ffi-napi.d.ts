// What load-ffi-napi.ts uses of two packages without types of their own.

declare module 'ffi-napi' {
  /** A pointer, as the memory it points to. */
  type Pointer = Buffer
  interface Ffi {
    DynamicLibrary: new (file: string) => { get(name: string): Pointer }
    /** A libffi call interface; lives as long as the Buffer. */
    CIF: (result: string, args: readonly string[]) => Pointer
  }
  const ffi: Ffi
  export = ffi
}

declare module 'ffi-napi/lib/bindings.js' {
  interface Bindings {
    /** `args` holds one pointer for each argument. libffi(3), ffi_call */
    ffi_call(cif: Buffer, code: Buffer, result: Buffer, args: Buffer): void
    ffi_call_async(
      cif: Buffer,
      code: Buffer,
      result: Buffer,
      args: Buffer,
      done: (error: unknown) => void,
    ): void
  }
  const bindings: Bindings
  export = bindings
}

declare module 'ref-napi' {
  interface Ref {
    address(memory: Buffer): number
  }
  const ref: Ref
  export = ref
}
