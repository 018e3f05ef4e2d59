"""What `tiltlm info` prints of its record. Computes nothing."""

from __future__ import annotations

from tiltlm.records.info import DeviceRecord, InfoRecord


def info_summary(record: InfoRecord) -> str:
    """Versions, devices, choices, cache and features, a block of lines each."""
    blocks = [
        [", ".join(f"{name} {version}" for name, version in record.versions.items())],
        [_device(device) for device in record.devices] + [f"{record.threads} threads"],
        [f"{c.option}: {c.value} ({c.reason})" for c in record.choices],
        [
            f"cache: {record.cache}, {record.cache_files:,} files, "
            f"{record.cache_bytes / 2**20:,.0f} MiB"
        ],
        [
            f"{feature.name}: {'yes' if feature.installed else f'no, {feature.how}'}"
            for feature in record.features
        ],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _device(device: DeviceRecord) -> str:
    free = f"{device.free_bytes / 2**30:.1f} GiB free"
    if device.memory_bytes is not None:
        free += f" of {device.memory_bytes / 2**30:.1f}"
    return f"{device.name}: {device.description}, {free}; {', '.join(device.dtypes)}"
