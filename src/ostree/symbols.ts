/** Each kind of thing that libostree and GLib hand out, and the function that lets go of it. */
export const RELEASE = {
  GCancellable: 'g_object_unref',
  GFile: 'g_object_unref',
  GHashTable: 'g_hash_table_unref',
  GInputStream: 'g_object_unref',
  GPtrArray: 'g_ptr_array_unref',
  GVariant: 'g_variant_unref',
  GVariantBuilder: 'g_variant_builder_unref',
  OstreeAsyncProgress: 'g_object_unref',
  OstreeDiffItem: 'ostree_diff_item_unref',
  OstreeMutableTree: 'g_object_unref',
  OstreeRepo: 'g_object_unref',
  OstreeRepoCommitModifier: 'ostree_repo_commit_modifier_unref',
  OstreeSign: 'g_object_unref',
} as const

export type HandleType = keyof typeof RELEASE

export function isHandleType(type: string): type is HandleType {
  return Object.hasOwn(RELEASE, type)
}

/** `address` is something that another thing owns; `text?` may be null. */
export type ValueType =
  | HandleType
  | 'text'
  | 'text?'
  | 'address'
  | 'i32'
  | 'u32'
  | 'i64'
  | 'u64'
  | 'f64'
  | 'bool'

/**
 * Whose it is, in the words of GObject introspection: `full` is ours to let go of; `none` stays theirs; `floating` belongs
 * to nobody until it is taken, which is done at once.
 */
type Transfer = 'full' | 'none' | 'floating'

export interface Given<T extends ValueType = ValueType> {
  readonly given: T
  readonly transfer: Transfer
}

/**
 * A `Given` is written by the function. All else is lent to it for the call: it takes what it keeps. `bytes` are an array
 * or a struct; `cancellable` and `error` are filled in; `null` is a callback or option that we do without.
 */
export type Argument = ValueType | `${HandleType}?` | 'bytes' | 'cancellable' | 'error' | 'null' | Given

export interface Signature {
  /** `done` is a gboolean that is false where `error` was set. */
  readonly result: 'void' | 'done' | Given
  readonly args: readonly Argument[]
  /** It reads or writes the disk, so it is called off this thread and gives a promise. */
  readonly long?: true
  /** The release of libostree that it came with, where some systems we run on have an older one. */
  readonly since?: string
}

const full = <T extends ValueType>(given: T) => ({ given, transfer: 'full' }) as const
const none = <T extends ValueType>(given: T) => ({ given, transfer: 'none' }) as const
const floating = <T extends ValueType>(given: T) => ({ given, transfer: 'floating' }) as const
const long = true

/**
 * Every function that is called, both for koffi and for ffi-napi. From the C headers of libostree 2022.7 and GLib 2.74, and
 * the introspection data made of them (OSTree-1.0.gir), which says whose the results are.
 */
export const SYMBOLS = {
  // ---- the C library
  syncfs: { result: none('i32'), args: ['i32'], long },
  prctl: { result: none('i32'), args: ['i32', 'u64', 'u64', 'u64', 'u64'] },
  setxattr: { result: none('i32'), args: ['text', 'text', 'bytes', 'u64', 'i32'] },

  // ---- GLib
  g_free: { result: 'void', args: ['address'] },
  g_error_free: { result: 'void', args: ['address'] },
  g_quark_to_string: { result: none('text'), args: ['u32'] },
  g_object_unref: { result: 'void', args: ['address'] },
  g_cancellable_new: { result: full('GCancellable'), args: [] },
  g_cancellable_cancel: { result: 'void', args: ['GCancellable'] },
  g_file_new_for_path: { result: full('GFile'), args: ['text'] },
  g_file_get_relative_path: { result: full('text?'), args: ['GFile', 'address'] },
  g_hash_table_unref: { result: 'void', args: ['address'] },
  g_hash_table_get_keys_as_array: { result: full('address'), args: ['GHashTable', none('u32')] },
  g_hash_table_lookup: { result: none('address'), args: ['GHashTable', 'address'] },
  // Without a function to let go of what it holds: that is done one by one.
  g_ptr_array_new: { result: full('GPtrArray'), args: [] },
  g_ptr_array_unref: { result: 'void', args: ['address'] },

  g_variant_unref: { result: 'void', args: ['address'] },
  g_variant_ref_sink: { result: none('address'), args: ['address'] },
  g_variant_get_type_string: { result: none('text'), args: ['GVariant'] },
  g_variant_n_children: { result: none('u64'), args: ['GVariant'] },
  g_variant_get_child_value: { result: full('GVariant'), args: ['GVariant', 'u64'] },
  g_variant_get_size: { result: none('u64'), args: ['GVariant'] },
  g_variant_get_data: { result: none('address'), args: ['GVariant'] },
  g_variant_get_string: { result: none('text'), args: ['GVariant', 'null'] },
  g_variant_get_boolean: { result: none('bool'), args: ['GVariant'] },
  g_variant_get_int32: { result: none('i32'), args: ['GVariant'] },
  g_variant_get_uint32: { result: none('u32'), args: ['GVariant'] },
  g_variant_get_int64: { result: none('i64'), args: ['GVariant'] },
  g_variant_get_uint64: { result: none('u64'), args: ['GVariant'] },
  g_variant_get_double: { result: none('f64'), args: ['GVariant'] },
  g_variant_new_string: { result: floating('GVariant'), args: ['text'] },
  g_variant_new_bytestring: { result: floating('GVariant'), args: ['text'] },
  g_variant_new_boolean: { result: floating('GVariant'), args: ['bool'] },
  g_variant_new_int32: { result: floating('GVariant'), args: ['i32'] },
  g_variant_new_uint32: { result: floating('GVariant'), args: ['u32'] },
  g_variant_new_int64: { result: floating('GVariant'), args: ['i64'] },
  g_variant_new_uint64: { result: floating('GVariant'), args: ['u64'] },
  g_variant_new_double: { result: floating('GVariant'), args: ['f64'] },
  g_variant_new_fixed_array: { result: floating('GVariant'), args: ['text', 'bytes', 'u64', 'u64'] },
  g_variant_new_variant: { result: floating('GVariant'), args: ['GVariant'] },
  g_variant_new_dict_entry: { result: floating('GVariant'), args: ['GVariant', 'GVariant'] },
  g_variant_builder_new: { result: full('GVariantBuilder'), args: ['text'] },
  g_variant_builder_add_value: { result: 'void', args: ['GVariantBuilder', 'GVariant'] },
  g_variant_builder_end: { result: floating('GVariant'), args: ['GVariantBuilder'] },
  g_variant_builder_unref: { result: 'void', args: ['address'] },

  // ---- libostree: repositories and refs
  ostree_check_version: { result: none('bool'), args: ['u32', 'u32'] },
  ostree_repo_open_at: { result: full('OstreeRepo'), args: ['i32', 'text', 'cancellable', 'error'], long },
  ostree_repo_create_at: {
    result: full('OstreeRepo'),
    args: ['i32', 'text', 'i32', 'null', 'cancellable', 'error'],
    long,
  },
  ostree_repo_mode_from_string: { result: 'done', args: ['text', none('i32'), 'error'] },
  ostree_repo_set_disable_fsync: { result: 'void', args: ['OstreeRepo', 'bool'] },
  ostree_repo_get_mode: { result: none('i32'), args: ['OstreeRepo'] },
  ostree_repo_list_refs: {
    result: 'done',
    args: ['OstreeRepo', 'text?', full('GHashTable'), 'cancellable', 'error'],
    long,
  },
  ostree_repo_resolve_rev: {
    result: 'done',
    args: ['OstreeRepo', 'text', 'bool', full('text?'), 'error'],
    long,
  },
  ostree_repo_set_ref_immediate: {
    result: 'done',
    args: ['OstreeRepo', 'text?', 'text', 'text?', 'cancellable', 'error'],
    long,
  },

  // ---- commits
  ostree_repo_load_commit: {
    result: 'done',
    args: ['OstreeRepo', 'text', full('GVariant'), none('u32'), 'error'],
    long,
  },
  ostree_repo_load_variant: {
    result: 'done',
    args: ['OstreeRepo', 'u32', 'text', full('GVariant'), 'error'],
    long,
  },
  // Of an object as it is sent, whatever the mode of the repository.
  ostree_repo_load_object_stream: {
    result: 'done',
    args: ['OstreeRepo', 'u32', 'text', full('GInputStream'), none('u64'), 'cancellable', 'error'],
    long,
  },
  ostree_checksum_file_at: {
    result: 'done',
    args: ['i32', 'text', 'null', 'u32', 'u32', full('text'), 'cancellable', 'error'],
    long,
    since: '2017.13',
  },
  ostree_commit_get_parent: { result: full('text?'), args: ['GVariant'] },
  ostree_commit_get_timestamp: { result: none('u64'), args: ['GVariant'] },
  ostree_repo_prepare_transaction: {
    result: 'done',
    args: ['OstreeRepo', 'null', 'cancellable', 'error'],
    long,
  },
  ostree_repo_commit_transaction: {
    result: 'done',
    args: ['OstreeRepo', 'null', 'cancellable', 'error'],
    long,
  },
  // Has to work after a cancel.
  ostree_repo_abort_transaction: { result: 'done', args: ['OstreeRepo', 'null', 'error'], long },
  ostree_repo_transaction_set_ref: { result: 'void', args: ['OstreeRepo', 'text?', 'text', 'text'] },
  ostree_mutable_tree_new: { result: full('OstreeMutableTree'), args: [] },
  ostree_repo_commit_modifier_new: {
    result: full('OstreeRepoCommitModifier'),
    args: ['u32', 'null', 'null', 'null'],
  },
  ostree_repo_commit_modifier_unref: { result: 'void', args: ['address'] },
  ostree_repo_write_dfd_to_mtree: {
    result: 'done',
    args: [
      'OstreeRepo',
      'i32',
      'text',
      'OstreeMutableTree',
      'OstreeRepoCommitModifier',
      'cancellable',
      'error',
    ],
    long,
  },
  ostree_repo_write_mtree: {
    result: 'done',
    args: ['OstreeRepo', 'OstreeMutableTree', full('GFile'), 'cancellable', 'error'],
    long,
  },
  ostree_repo_write_commit_with_time: {
    result: 'done',
    args: [
      'OstreeRepo',
      'text?',
      'text?',
      'text?',
      'GVariant',
      'GFile',
      'u64',
      full('text'),
      'cancellable',
      'error',
    ],
    long,
  },

  // ---- between repositories, and out of them
  ostree_async_progress_new: { result: full('OstreeAsyncProgress'), args: [] },
  ostree_async_progress_finish: { result: 'void', args: ['OstreeAsyncProgress'] },
  ostree_async_progress_get_uint: { result: none('u32'), args: ['OstreeAsyncProgress', 'text'] },
  ostree_repo_pull_with_options: {
    result: 'done',
    args: ['OstreeRepo', 'text', 'GVariant', 'OstreeAsyncProgress', 'cancellable', 'error'],
    long,
  },
  ostree_repo_checkout_at: {
    result: 'done',
    args: ['OstreeRepo', 'bytes', 'i32', 'text', 'text', 'cancellable', 'error'],
    long,
  },
  ostree_repo_read_commit: {
    result: 'done',
    args: ['OstreeRepo', 'text', full('GFile'), full('text'), 'cancellable', 'error'],
    long,
  },
  ostree_diff_dirs: {
    result: 'done',
    args: ['u32', 'GFile', 'GFile', 'GPtrArray', 'GPtrArray', 'GPtrArray', 'cancellable', 'error'],
    long,
  },
  ostree_diff_item_unref: { result: 'void', args: ['address'] },

  // ---- static deltas
  ostree_repo_static_delta_generate: {
    result: 'done',
    args: ['OstreeRepo', 'u32', 'text?', 'text', 'null', 'GVariant', 'cancellable', 'error'],
    long,
  },
  ostree_repo_static_delta_execute_offline: {
    result: 'done',
    args: ['OstreeRepo', 'GFile', 'bool', 'cancellable', 'error'],
    long,
  },
  ostree_repo_static_delta_execute_offline_with_signature: {
    result: 'done',
    args: ['OstreeRepo', 'GFile', 'OstreeSign', 'bool', 'cancellable', 'error'],
    long,
    since: '2020.7',
  },
  ostree_sign_get_by_name: { result: full('OstreeSign'), args: ['text', 'error'], since: '2020.2' },
  ostree_sign_set_sk: { result: 'done', args: ['OstreeSign', 'GVariant', 'error'], since: '2020.2' },
  ostree_sign_add_pk: { result: 'done', args: ['OstreeSign', 'GVariant', 'error'], since: '2020.2' },

  // ---- upkeep
  ostree_repo_prune: {
    result: 'done',
    args: ['OstreeRepo', 'u32', 'i32', none('i32'), none('i32'), none('u64'), 'cancellable', 'error'],
    long,
  },
  ostree_repo_list_objects: {
    result: 'done',
    args: ['OstreeRepo', 'u32', full('GHashTable'), 'cancellable', 'error'],
    long,
  },
  ostree_repo_fsck_object: {
    result: 'done',
    args: ['OstreeRepo', 'u32', 'text', 'cancellable', 'error'],
    long,
    since: '2017.15',
  },
  ostree_repo_traverse_commit: {
    result: 'done',
    args: ['OstreeRepo', 'text', 'i32', full('GHashTable'), 'cancellable', 'error'],
    long,
  },
  // Of a name that stands in a table.
  ostree_object_name_deserialize: { result: 'void', args: ['address', none('text'), none('u32')] },
  ostree_object_type_to_string: { result: none('text'), args: ['u32'] },
} as const satisfies Readonly<Record<string, Signature>>

export type SymbolName = keyof typeof SYMBOLS
