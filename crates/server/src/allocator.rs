//! The process's memory.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use libmimalloc_sys as mi;

/// mimalloc, asked for aligned memory only where its blocks do not have the alignment of themselves. The binding of the crate
/// `mimalloc` always asks for it, and version 3 then leaves its quick way for every size that is no power of two: it takes a
/// larger block and marks its page, whose blocks are slower to give back.
pub struct Allocator;

/// Blocks of at least this many bytes begin at a multiple of it: `MI_MAX_ALIGN_SIZE`. Shorter ones at a multiple of their size.
const ALIGNED_BYTES: usize = 16;

fn is_natural(size: usize, align: usize) -> bool {
    align <= ALIGNED_BYTES && align <= size
}

// SAFETY: every pointer comes from mimalloc and goes back to it, whichever of its functions it is of; blocks have the
// alignment that is asked for: by `is_natural`, or because mimalloc is told.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: any size and any power of two are fine.
        let block =
            unsafe { if is_natural(size, align) { mi::mi_malloc(size) } else { mi::mi_malloc_aligned(size, align) } };
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        let block =
            unsafe { if is_natural(size, align) { mi::mi_zalloc(size) } else { mi::mi_zalloc_aligned(size, align) } };
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller's block is one of ours.
        unsafe { mi::mi_free(block.cast::<c_void>()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: the caller's block is one of ours; the new one has its alignment.
        let block = unsafe {
            if is_natural(new_size, align) {
                mi::mi_realloc(block.cast(), new_size)
            } else {
                mi::mi_realloc_aligned(block.cast(), new_size, align)
            }
        };
        block.cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_keep_what_is_in_them_and_are_empty_where_that_is_asked_for() {
        for align in [1, 2, 4, 8, 16, 32, 64, 4096] {
            for size in (1..200).chain([1000, 1023, 1025, 5000, 65_537, 3 << 20]) {
                let layout = Layout::from_size_align(size, align).unwrap();
                // SAFETY: the layouts are those that the blocks were asked for with.
                unsafe {
                    let blocks: Vec<*mut u8> = (0..3).map(|_| Allocator.alloc(layout)).collect();
                    for &block in &blocks {
                        assert_eq!(block as usize % align, 0, "{size} at {align}");
                        block.write_bytes(7, size);
                    }
                    for block in blocks {
                        let grown = Allocator.realloc(block, layout, size + 77);
                        assert_eq!(grown as usize % align, 0, "{size} at {align}, grown");
                        assert!((0..size).all(|at| *grown.add(at) == 7), "{size} at {align}");
                        Allocator.dealloc(grown, Layout::from_size_align(size + 77, align).unwrap());
                    }
                    let zeroed = Allocator.alloc_zeroed(layout);
                    assert_eq!(zeroed as usize % align, 0, "{size} at {align}, zeroed");
                    assert!((0..size).all(|at| *zeroed.add(at) == 0), "{size} at {align}");
                    Allocator.dealloc(zeroed, layout);
                }
            }
        }
    }
}
