"""Small files as each maker's instruments write them."""

import struct

import numpy as np
import tifffile

FEI, ZEISS, TESCAN = 34682, 34118, 50431
BYTE, ASCII = 1, 2


def noise(height=48, width=64, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width)).astype(dtype)


def tiff_with(path, tag, text, image=None, kind=ASCII, **options):
    """A TIFF with one more tag, a text or bytes."""
    content = text if isinstance(text, bytes) else text.encode("latin-1")
    tifffile.imwrite(path, noise() if image is None else image, extratags=[(tag, kind, len(content), content, True)],
                     metadata=None, **options)  # fmt: skip
    return path


def fei_text(pixel_m="5e-08", height_m=None, field_m="3.2e-06", resolution=(64, 48)):
    return (
        "[User]\r\nDate=11/30/2021\r\nTime=11:02:50 AM\r\n[System]\r\nSystemType=Quattro S\r\n"
        "[Beam]\r\nHV=20000\r\nBeam=EBeam\r\nScan=EScan\r\n"
        f"[EBeam]\r\nHV=20000\r\nHFW={field_m}\r\nWD=0.0093\r\n"
        f"[Scan]\r\nPixelWidth={pixel_m}\r\nPixelHeight={height_m or pixel_m}\r\nHorFieldsize={field_m}\r\n"
        f"[Image]\r\nResolutionX={resolution[0]}\r\nResolutionY={resolution[1]}\r\nMagCanvasRealWidth=0.128\r\n"
        "[Detectors]\r\nNumber=1\r\nName=ABS\r\nMode=All\r\n[PrivateFei]\r\nTimeOfCreation=30.11.2021 11:02:50\r\n"
    )


def zeiss_text(pixel="50.00 nm", field="3.200 µm", key="AP_IMAGE_PIXEL_SIZE", name="Image Pixel Size"):
    unnamed = "\r\n".join(["0", "0", "0", "3.125e-09", "0"])
    return (
        f"{unnamed}\r\nDP_DETECTOR_CHANNEL\r\nSignal A = InLens\r\nAP_WIDTH\r\nWidth = {field}\r\n"
        f"{key}\r\n{name} = {pixel}\r\nAP_ACTUALKV\r\nEHT = 15.00 kV\r\nAP_WD\r\nWD =  8.5 mm\r\n"
        "AP_MAG\r\nMag = 40.00 K X\r\nAP_DATE\r\nDate :24 Mar 2017\r\nAP_TIME\r\nTime :10:22:13\r\n"
        "SV_SERIAL_NUMBER\r\nSerial No. = Sigma-11-07\r\n"
    )


def tescan_text(pixel_x="5.0e-008", pixel_y=None, strip=0):
    return (
        "AccFrames=1\r\nDate=2019-03-12\r\nTime=10:22:13\r\nDevice=MIRA3\r\nDeviceModel=MIRA3 LMH\r\n"
        f"ImageStripSize={strip}\r\nMagnification=5000.0\r\n"
        f"PixelSizeX={pixel_x}\r\nPixelSizeY={pixel_y or pixel_x}\r\n",
        "Detector=BSE\r\nHV=15000.0\r\nWD=0.0100\r\n",
    )


def tescan_tag(main, sem):
    """Blocks of size, kind and content: a thumbnail, the two texts, the end."""
    blocks = [(1, b"\xff\xd8 HV=1 \xff\xd9"), (2, main.encode()), (3, sem.encode()), (0, b"")]
    return b"".join(struct.pack("<IH", len(content) + 2, kind) + content for kind, content in blocks)


def hitachi_text(pixel_nm="50", size="64x48"):
    return (
        "[SemImageFile]\r\nInstructName=SU8230\r\nSampleName=steel\r\nFormat=tif\r\nDate=2019/03/12\r\n"
        f"Time=10:22:13\r\nDataSize={size}\r\nPixelSize={pixel_nm}\r\nSignalName=SE(U)\r\n"
        "AcceleratingVoltage=15000 Volt\r\nMagnification=10000\r\nWorkingDistance=8100 um\r\n"
    )


def jeol_text(bar=20, marker="1um", size="64 48", more=""):
    return (
        "$CM_FORMAT JEOL/SEM\r\n$CM_VERSION 1.0\r\n$CM_INSTRUMENT JSM-7800F\r\n$CM_SIGNAL SEI\r\n$CM_MAG 5000\r\n"
        f"$CM_ACCEL_VOLT 15.00\r\n$CM_DATE 2019/03/12\r\n$CM_TIME 10:21:55\r\n$CM_FULL_SIZE {size}\r\n"
        f"$$SM_MICRON_BAR {bar}\r\n$$SM_MICRON_MARKER {marker}\r\n$$SM_WD 10.0\r\n{more}"
    )
