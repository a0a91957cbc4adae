//! `cpu`, `cuda:0`, `wgpu` → Burn device. A device that this build or this machine lacks is an error with a next step,
//! never a panic out of a driver.

use burn::prelude::*;

use crate::error::{Error, Result};

/// The device of a name; a device this build has no feature for is an error that names the feature.
pub fn parse(name: &str) -> Result<Device> {
    let (kind, index) = match name.split_once(':') {
        None => (name, 0),
        Some((kind, index)) => (kind, index.parse().map_err(|_| unknown(name))?),
    };
    match (kind, name.contains(':')) {
        ("cpu", false) => Ok(Device::flex()),
        ("ndarray", false) => ndarray(),
        ("cuda", _) => cuda(name, index),
        ("wgpu", _) => wgpu(name, index),
        _ => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Error {
    Error::Input(format!(
        "`run.device` is `{name}`; use `cpu`, `cuda:0` (or another number), `wgpu` or `ndarray`"
    ))
}

#[cfg(not(all(feature = "cuda", feature = "wgpu", feature = "ndarray")))]
fn not_built(what: &str, feature: &str) -> Error {
    Error::Input(format!(
        "this build has no {what} support; build with `cargo build --release -p bioverse --features {feature}`, or set \
         `run.device` to `cpu`"
    ))
}

#[cfg(feature = "ndarray")]
fn ndarray() -> Result<Device> {
    #[allow(deprecated)]
    Ok(Device::ndarray())
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> Result<Device> {
    Err(not_built("ndarray", "ndarray"))
}

#[cfg(feature = "cuda")]
fn cuda(name: &str, index: usize) -> Result<Device> {
    if !probe::has_cuda_driver() {
        return Err(Error::Input(format!(
            "device `{name}` needs the NVIDIA driver, but libcuda.so.1 was not found on this machine; install the \
             driver, or set `run.device` to `cpu`"
        )));
    }
    probe::try_out(name, move || Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_name: &str, _index: usize) -> Result<Device> {
    Err(not_built("CUDA", "cuda"))
}

#[cfg(feature = "wgpu")]
fn wgpu(name: &str, index: usize) -> Result<Device> {
    use burn::tensor::DeviceKind;
    let kind = if name.contains(':') {
        DeviceKind::DiscreteGpu(index)
    } else {
        DeviceKind::DefaultDevice
    };
    probe::try_out(name, move || Device::wgpu(kind))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(_name: &str, _index: usize) -> Result<Device> {
    Err(not_built("wgpu", "wgpu"))
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod probe {
    //! Drivers report a missing device by panicking, at first use. These questions are asked before.

    use burn::prelude::*;

    use crate::error::{Error, Result};

    /// Makes a device and adds two numbers on it.
    pub fn try_out(name: &str, make: impl FnOnce() -> Device + Send + 'static) -> Result<Device> {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let tried = std::thread::spawn(move || {
            let device = make();
            let sum = (Tensor::<1>::ones([2], &device) + 1).into_data();
            sum.iter::<f32>().all(|x| x == 2.0).then_some(device)
        })
        .join();
        std::panic::set_hook(hook);
        tried.ok().flatten().ok_or_else(|| {
            Error::Input(format!(
                "device `{name}` does not answer on this machine; look for it with `nvidia-smi` or `vulkaninfo`, choose \
                 another number, or set `run.device` to `cpu`"
            ))
        })
    }

    /// Whether the dynamic linker would find the driver: its cache, its search path, the usual folders.
    #[cfg(feature = "cuda")]
    pub fn has_cuda_driver() -> bool {
        const FOLDERS: [&str; 8] = [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
            "/usr/lib",
            "/lib64",
            "/usr/local/cuda/compat",
            "/usr/local/nvidia/lib64",
            "/usr/lib/wsl/lib",
        ];
        if cfg!(not(target_os = "linux")) {
            return true;
        }
        let named = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
        let cached = std::fs::read("/etc/ld.so.cache").unwrap_or_default();
        let library = b"libcuda.so.1\0";
        std::env::split_paths(&named)
            .chain(FOLDERS.map(Into::into))
            .any(|folder| folder.join("libcuda.so.1").exists())
            || cached.windows(library.len()).any(|bytes| bytes == library)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn cpu_is_always_there() {
        let sum = Tensor::<1>::ones([3], &parse("cpu").unwrap()).sum();
        assert_eq!(sum.into_scalar::<f32>(), 3.0);
    }

    #[test]
    fn names_that_mean_nothing_are_refused_with_the_names_that_do() {
        for name in ["gpu", "", "cpu:0", "cuda:x", "cuda:", "CPU"] {
            let error = parse(name).unwrap_err();
            assert!(error.to_string().contains("`cuda:0`"), "{name}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_feature_is_named() {
        let error = parse("cuda:0").unwrap_err().to_string();
        assert!(
            error.contains("no CUDA support") && error.contains("--features cuda"),
            "{error}"
        );
    }
}
